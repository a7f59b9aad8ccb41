"""Losses against automatic differentiation and dense solves."""

import pytest
import torch
from torch.func import grad, hessian, vmap
from torch.nn import functional

from gn_study.losses import CrossEntropy, SquareLoss


def problem(draw, soft=False):
    outputs = 2 * draw(7, 4)
    if soft:
        return outputs, torch.softmax(draw(7, 4, seed=1), dim=1)
    return outputs, torch.tensor([0, 1, 2, 3, 0, 1, 2])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("soft", [True, False])
def test_cross_entropy_is_torchs_and_its_error_the_gradient_of_the_sum(draw, reduction, soft):
    outputs, targets = problem(draw, soft)
    loss = CrossEntropy(reduction=reduction)
    expected = functional.cross_entropy(outputs, targets, reduction=reduction)
    assert torch.equal(loss(outputs, targets), expected)
    found = grad(CrossEntropy(reduction="sum"))(outputs, targets)
    assert torch.allclose(loss.error(outputs, targets), found, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_square_loss_is_half_the_sum_of_squares_and_its_hessian_the_identity(draw, reduction):
    outputs, targets = draw(7, 4), draw(7, 4, seed=1)
    loss = SquareLoss(reduction)
    squares = (outputs - targets).square().sum(1) / 2
    assert loss(outputs, targets) == pytest.approx(float(getattr(squares, reduction)()))
    found = grad(SquareLoss("sum"))(outputs, targets)
    assert torch.allclose(loss.error(outputs, targets), found)
    assert torch.equal(loss.newton_error(outputs, found), found)


def test_targets_of_another_shape_are_not_broadcast(draw):
    with pytest.raises(ValueError, match="different shapes"):
        SquareLoss()(draw(7, 1), draw(7))


def dense_hessians(outputs):
    """Of each sample's cross-entropy, whatever its target."""
    target = torch.zeros(len(outputs), dtype=torch.long)
    return vmap(hessian(functional.cross_entropy))(outputs, target)


def test_the_true_hessians_inverse_is_the_dense_ones(draw):
    for soft in (True, False):
        outputs, targets = problem(draw, soft)
        error = CrossEntropy().error(outputs, targets)
        inverse = torch.linalg.pinv(dense_hessians(outputs), rcond=1e-12)
        expected = (inverse @ error[..., None])[..., 0]
        found = CrossEntropy(curvature="softmax").newton_error(outputs, error)
        assert torch.allclose(found, expected, rtol=1e-9)


def test_it_is_the_closed_form_for_one_class(draw):
    outputs, targets = problem(draw)
    loss = CrossEntropy(curvature="softmax")
    found = loss.newton_error(outputs, loss.error(outputs, targets))
    right = torch.softmax(outputs, dim=1).gather(1, targets[:, None])
    expected = (1 / 4 - functional.one_hot(targets, 4)) / right
    assert torch.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("by_gradient", [False, True])
@pytest.mark.parametrize("gap", [10.0, 80.0, 90.0, 95.0, 100.0, 110.0, 720.0, 800.0])
def test_a_sample_that_is_right_beyond_doubt_asks_for_no_step_but_the_common_one(
    gap, by_gradient, dtype
):
    """Its wrong classes' errors are their probabilities, so that all but the constant cancels."""
    loss = CrossEntropy(curvature="softmax")
    outputs = torch.tensor([[gap, 0, 0, 1], [0, 0, gap, 1]], dtype=dtype, requires_grad=True)
    targets = torch.tensor([0, 2])
    error = loss.error(outputs.detach(), targets)
    if by_gradient:
        # As the optimizers know it: of the mean, times the number of samples.
        (gradient,) = torch.autograd.grad(functional.cross_entropy(outputs, targets), outputs)
        error = 2 * gradient
    found = loss.newton_error(outputs.detach(), error)
    wrong = 1 - functional.one_hot(targets, 4)
    torch.testing.assert_close(found, (wrong - 3 / 4).to(dtype), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("damping", [1e-6, 1e-2, 3.0])
def test_the_damped_hessians_inverse_is_the_dense_ones(draw, damping):
    outputs, targets = problem(draw, soft=True)
    error = CrossEntropy().error(outputs, targets)
    damped = dense_hessians(outputs) + damping * torch.eye(4, dtype=torch.float64)
    expected = torch.linalg.solve(damped, error[..., None])[..., 0]
    found = CrossEntropy(curvature="softmax", damping=damping).newton_error(outputs, error)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_with_the_identity_for_hessian_the_error_is_the_step(draw):
    error = draw(7, 4)
    assert torch.equal(CrossEntropy().newton_error(draw(7, 4), error), error)


@pytest.mark.parametrize("options", [{"damping": -1}, {"damping": 0.1, "curvature": "identity"}])
def test_impossible_dampings_are_refused(options):
    with pytest.raises(ValueError, match="damping is"):
        CrossEntropy(**{"curvature": "softmax", **options})
