"""Checks of estimates against the dense matrices they stand for."""

import pytest
import torch


@pytest.fixture
def mask(problem):
    kept = torch.rand(problem.space.size, generator=torch.Generator().manual_seed(2)) < 0.6
    return kept | ~problem.space.prunable


@pytest.fixture
def check_against_matrix():
    """Checker of an estimate, fitted and unmasked, against the dense matrix it stands for."""

    def check(curvature, matrix, mask, tolerance=1e-10):
        size = len(matrix)
        close = {"rtol": tolerance, "atol": tolerance}
        vectors = torch.randn(2, 3, size, dtype=matrix.dtype)
        indices = torch.randperm(size)[:9].view(3, 3)
        for kept in (torch.ones(size, dtype=torch.bool), mask):
            curvature.set_mask(kept)
            inverse = torch.zeros_like(matrix)
            inverse[kept.nonzero(), kept] = torch.linalg.inv(matrix[kept][:, kept])
            torch.testing.assert_close(curvature.inverse_diagonal(), inverse.diagonal(), **close)
            torch.testing.assert_close(
                curvature.inverse_product(vectors), vectors @ inverse, **close
            )
            torch.testing.assert_close(
                curvature.inverse_blocks(indices),
                inverse[indices.unsqueeze(2), indices.unsqueeze(1)],
                **close,
            )
            if curvature.has_forward:
                vector = vectors[0, 0]
                expected = torch.where(kept, matrix @ torch.where(kept, vector, 0), 0)
                torch.testing.assert_close(curvature.forward_product(vector), expected, **close)

    return check


@pytest.fixture
def check_round_trip(tmp_path):
    """Checker that an estimate's state, through a safetensors file, gives the same estimate."""
    from safetensors.torch import load_file, save_file

    def check(fitted, fresh, problem):
        state = {name: tensor.contiguous() for name, tensor in fitted.state_dict().items()}
        save_file(state, tmp_path / "state.safetensors")
        fresh.attach(problem)
        fresh.load_state_dict(load_file(tmp_path / "state.safetensors"))
        vector = torch.arange(problem.space.size, dtype=torch.float64)
        assert torch.equal(fresh.inverse_diagonal(), fitted.inverse_diagonal())
        assert torch.equal(fresh.inverse_product(vector), fitted.inverse_product(vector))

    return check
