"""The kernel and the Moore-Penrose direction against dense Jacobians."""

import pytest
import torch

from gn_study.dense import dense_direction, dense_jacobian, flatten
from gn_study.direction import gn_direction
from gn_study.kernel import kernel_factors, output_kernel
from gn_study.minimum_norm import min_norm_direction
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import RankError

PLAIN = PseudoInverse("none")
VARIANTS = [
    {"outputs": 2},
    {"outputs": 2, "num_blocks": 5},
    {"outputs": 2, "bias": False},
    {"outputs": 2, "hidden": None},
    {},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_kernel_is_that_of_the_dense_jacobian(make_network, draw, options):
    network, inputs = make_network(6, **options), draw(7, 6)
    jacobian = dense_jacobian(network, inputs)
    kernel = output_kernel(network, inputs)
    assert torch.allclose(kernel, jacobian @ jacobian.T, rtol=1e-12, atol=1e-12)
    names = [factor.name for factor in kernel_factors(network, inputs)]
    assert names == list(network.half_layers())[::-1]


def test_large_batches_are_computed_in_pieces(make_network, draw):
    network, inputs = make_network(4, outputs=1, hidden=5), draw(150, 4)
    jacobian = dense_jacobian(network, inputs)
    assert torch.allclose(output_kernel(network, inputs), jacobian @ jacobian.T, atol=1e-12)


@pytest.mark.parametrize("options", [VARIANTS[0], VARIANTS[1], VARIANTS[2], {}], ids=str)
def test_the_direction_is_the_dense_pseudo_inverses(make_network, draw, options):
    network, inputs = make_network(6, **{"hidden": 40, **options}), draw(6, 6)
    error = draw(6, network.num_outputs, seed=1)
    direction, diagnostics = min_norm_direction(
        network, inputs, error, pseudo_inverse=PLAIN, strict=True, measure_residual=True
    )
    found = flatten(network, direction)
    expected = flatten(network, dense_direction(network, inputs, error))
    assert (found - expected).norm() < 1e-8 * expected.norm()
    assert diagnostics.kept_rank == diagnostics.num_rows == error.numel()
    assert diagnostics.right_inverse_residual < 1e-8
    assert list(direction) == list(network.trained_parameters())


def test_it_is_the_gauss_newton_step_of_the_hessian_view(make_network, draw):
    network, inputs, error = make_network(outputs=2), draw(5, 6), draw(5, 2, seed=1)
    jacobian, flat = dense_jacobian(network, inputs), error.flatten()
    found = flatten(network, min_norm_direction(network, inputs, error, pseudo_inverse=PLAIN)[0])
    hessian = torch.linalg.pinv(jacobian.T @ jacobian, rcond=1e-10) @ jacobian.T @ flat
    gram = jacobian.T @ torch.linalg.solve(jacobian @ jacobian.T, flat)
    for expected in (hessian, gram):
        assert (found - expected).norm() < 1e-7 * expected.norm()


@pytest.mark.parametrize("kind", ["truncated", "damped", "tikhonov"])
def test_the_whole_jacobians_singular_values_are_filtered(make_network, draw, kind):
    network, inputs, error = make_network(outputs=2, num_blocks=3), draw(8, 6), draw(8, 2, seed=1)
    pseudo_inverse = PseudoInverse(kind, rtol=0.2, damping=0.05)
    direction, diagnostics = min_norm_direction(
        network, inputs, error, pseudo_inverse=pseudo_inverse
    )
    left, values, right = torch.linalg.svd(dense_jacobian(network, inputs), full_matrices=False)
    largest = values[0]
    inverse = {
        "truncated": (values >= 0.2 * largest) / values,
        "damped": 1 / (values + 0.05 * largest),
        "tikhonov": values / (values**2 + 0.05 * largest**2),
    }[kind]
    expected = right.T @ (inverse * (left.T @ error.flatten()))
    assert (flatten(network, direction) - expected).norm() < 1e-8 * expected.norm()
    kept = int((values >= 0.2 * largest).sum()) if kind == "truncated" else 16
    assert diagnostics.kept_rank == kept
    assert kind != "truncated" or 2 < kept < 16


def test_the_papers_direction_is_longer_and_fits_more_than_the_outputs(make_network, draw):
    network, inputs, error = make_network(8, outputs=2, num_blocks=3, hidden=60), draw(6, 8), None
    error = draw(6, 2, seed=1)
    papers, shortest = (
        flatten(network, compute(network, inputs, error, pseudo_inverse=PLAIN)[0])
        for compute in (gn_direction, min_norm_direction)
    )
    assert papers.norm() > 1.2 * shortest.norm()
    jacobian = dense_jacobian(network, inputs)
    assert torch.allclose(jacobian @ papers, jacobian @ shortest, atol=1e-8)
    # What sets them apart changes no output.
    assert abs(float((papers - shortest) @ shortest)) < 1e-6 * float(papers.norm() ** 2)


def test_strict_refuses_a_jacobian_of_too_low_a_rank(make_network, draw):
    network, inputs = make_network(outputs=2), draw(6, 6)
    inputs[1] = inputs[0]
    error = draw(6, 2, seed=1)
    direction, diagnostics = min_norm_direction(network, inputs, error)
    assert diagnostics.kept_rank <= 10
    assert all(value.isfinite().all() for value in direction.values())
    with pytest.raises(RankError, match="of the 12 that this batch needs"):
        min_norm_direction(network, inputs, error, strict=True)


@pytest.mark.parametrize("pseudo_inverse", [PseudoInverse("noise"), PseudoInverse(route="svd")])
def test_what_needs_the_jacobian_itself_is_refused(make_network, draw, pseudo_inverse):
    with pytest.raises(ValueError, match="the Jacobian is not formed"):
        min_norm_direction(make_network(), draw(3, 6), draw(3, 6), pseudo_inverse=pseudo_inverse)
