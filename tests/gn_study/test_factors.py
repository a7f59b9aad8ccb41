"""Decompositions against dense pseudo-inverses, and the shortcut by Cholesky against eigh."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gn_study.factors import (
    CholeskyFactor,
    KeptFactor,
    RidgeFactor,
    SpectralFactor,
    factor_gram,
    factor_matrix,
)
from gn_study.pseudo_inverse import PseudoInverse


def matrix_of(values, num_columns, seed=0):
    """A matrix with these singular values."""
    generator = np.random.default_rng(seed)
    left, _ = np.linalg.qr(generator.standard_normal((len(values), len(values))))
    right, _ = np.linalg.qr(generator.standard_normal((num_columns, len(values))))
    return torch.tensor(left * np.array(values) @ right.T), torch.tensor(left)


FILTERS = {
    "none": lambda s: 1 / s,
    "truncated": lambda s: (s >= 0.1 * s.max()) / s,
    "damped": lambda s: 1 / (s + 0.01 * s.max()),
    "tikhonov": lambda s: s / (s**2 + 0.01 * s.max() ** 2),
}


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("route", ["gram", "svd"])
def test_singular_values_are_filtered_as_said(kind, route):
    values = np.array([5.0, 2.0, 1.0, 0.4, 0.1])
    matrix, left = matrix_of(values, 9)
    pseudo_inverse = PseudoInverse(kind, rtol=0.1)
    factor = (
        factor_matrix(matrix, pseudo_inverse)
        if route == "svd"
        else factor_gram(matrix @ matrix.T, pseudo_inverse)
    )
    targets = torch.eye(5, dtype=torch.float64)
    kept = torch.tensor(FILTERS[kind](values))
    expected = matrix.T @ (left * (kept / torch.tensor(values))) @ left.T
    assert torch.allclose(matrix.T @ factor.coefficients(targets), expected, atol=1e-10)
    assert torch.allclose(factor.fitted(targets), matrix @ expected, atol=1e-10)
    assert factor.kept_rank == (3 if kind == "truncated" else 5)
    assert factor.condition == pytest.approx(5.0 if kind == "truncated" else 50.0)
    assert factor.is_exact == (kind == "none")


@given(
    logs=st.lists(st.floats(-4, 2), min_size=2, max_size=12),
    rtol=st.sampled_from([0.0, 1e-3, 1e-2, 0.1, 0.5]),
    atol=st.sampled_from([0.0, 0.0012, 0.7]),
    seed=st.integers(0, 10),
)
def test_cholesky_is_taken_only_where_eigh_would_keep_everything(logs, rtol, atol, seed):
    matrix, _ = matrix_of(10.0 ** np.array(logs), 20, seed)
    pseudo_inverse = PseudoInverse("truncated", rtol=rtol, atol=atol)
    gram = matrix @ matrix.T
    found = factor_gram(gram, pseudo_inverse)
    vectors, values, _ = torch.linalg.svd(matrix, full_matrices=False)
    expected = SpectralFactor.of(vectors, values, pseudo_inverse, 1e-7)
    targets = torch.eye(len(gram), dtype=torch.float64)
    if isinstance(found, CholeskyFactor):
        assert expected.kept_rank == len(gram)
        scale = expected.coefficients(targets).norm()
        difference = (found.coefficients(targets) - expected.coefficients(targets)).norm()
        assert difference < 1e-12 * expected.condition**2 * scale + 1e-9 * scale
        assert 0.3 * expected.condition < found.condition < 1.01 * expected.condition
    else:
        # A bound is at most the root of the number of rows above the largest singular value.
        nearly = max(rtol * values[0], atol) * len(gram) ** 0.25
        assert values[-1] <= nearly * (1 + 1e-6) or values[-1] < 1e-5 * values[0]


def test_a_well_conditioned_matrix_takes_the_shortcut():
    matrix, _ = matrix_of(np.linspace(1, 2, 50), 80)
    assert isinstance(factor_gram(matrix @ matrix.T, PseudoInverse()), CholeskyFactor)


def test_a_singular_matrix_does_not():
    matrix, _ = matrix_of([2.0, 1.0, 0.0], 5)
    factor = factor_gram(matrix @ matrix.T, PseudoInverse("none"))
    assert isinstance(factor, SpectralFactor)
    assert factor.kept_rank == 2
    assert not factor.is_exact


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("route", ["gram", "svd"])
def test_nothing_has_no_inverse_but_does_no_harm(kind, route):
    nothing = torch.zeros(3, 5, dtype=torch.float64)
    pseudo_inverse = PseudoInverse(kind)
    factor = (
        factor_matrix(nothing, pseudo_inverse)
        if route == "svd"
        else factor_gram(nothing @ nothing.T, pseudo_inverse)
    )
    assert factor.kept_rank == 0
    assert factor.condition == float("inf")
    targets = torch.ones(3, 2, dtype=torch.float64)
    assert not factor.coefficients(targets).any()
    assert not factor.fitted(targets).any()


def test_a_factor_is_kept_for_the_same_matrix_and_options_alone():
    kept = KeptFactor()
    gram = torch.diag(torch.tensor([3.0, 2.0, 1e-9], dtype=torch.float64))
    factor = kept.factor(gram, PseudoInverse())
    assert kept.factor(gram.clone(), PseudoInverse()) is factor
    other = kept.factor(gram, PseudoInverse(rtol=0.9))
    assert other.kept_rank == 1 != factor.kept_rank
    assert kept.factor(2 * gram, PseudoInverse(rtol=0.9)) is not other


@pytest.mark.parametrize(
    "options", [{"rtol": -0.1}, {"rtol": 1.0}, {"atol": -1}, {"damping": 0}, {"noise_std": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        PseudoInverse(**options)


@pytest.mark.parametrize(
    "values",
    [np.geomspace(30, 1e-3, 60), np.array([4.0, 4.0, 3.999, 1.0, 1e-2]), np.array([2.0, 1e-9])],
    ids=["decaying", "close on top", "rank deficient"],
)
@pytest.mark.parametrize("damping", [1e-1, 1e-4])
def test_ridge_is_the_tikhonov_of_all_singular_values(values, damping):
    matrix, left = matrix_of(values, 70)
    factor = RidgeFactor.of(matrix @ matrix.T, damping)
    assert factor is not None
    targets = torch.eye(len(values), dtype=torch.float64)
    ridge = damping * values.max() ** 2
    expected = (left / torch.tensor(values**2 + ridge)) @ left.T
    scale = expected.abs().max()
    assert torch.allclose(factor.coefficients(targets) / scale, expected / scale, atol=1e-9)
    fitted = (left * torch.tensor(values**2 / (values**2 + ridge))) @ left.T
    assert torch.allclose(factor.fitted(targets), fitted, atol=1e-9)
    assert not factor.is_exact
    raised = values**2 + ridge
    assert factor.condition == pytest.approx((raised.max() / raised.min()) ** 0.5, rel=1e-2)


def test_a_ridge_that_rounding_swallows_is_left_to_eigenvalues():
    assert RidgeFactor.of(torch.zeros(4, 4, dtype=torch.float64), 1e-2) is None


def test_many_rows_with_a_ridge_go_without_eigenvalues():
    rng = np.random.default_rng(0)
    matrix = torch.tensor(rng.standard_normal((300, 80)))
    gram, pseudo_inverse = matrix @ matrix.T, PseudoInverse("tikhonov", damping=1e-3)
    factor, by_values = factor_gram(gram, pseudo_inverse), factor_matrix(matrix, pseudo_inverse)
    assert isinstance(factor, RidgeFactor)
    assert isinstance(by_values, SpectralFactor)
    targets = torch.tensor(rng.standard_normal((300, 2)))
    found, expected = (matrix.T @ each.coefficients(targets) for each in (factor, by_values))
    assert torch.allclose(found, expected, atol=1e-9)
