"""Losses, draws and Hessians of the likelihoods against torch's own distributions."""

import pytest
import torch
from torch import distributions

from compression.likelihoods import Bernoulli, Categorical, Gaussian, Tempered

torch.manual_seed(0)
OUTPUTS = torch.randn(6, 4, dtype=torch.float64)


def targets_of(likelihood):
    return likelihood.sample(OUTPUTS, torch.Generator().manual_seed(1))


def test_losses_are_the_distributions_own():
    classes = torch.tensor([0, 3, 1, 2, 2, 0])
    expected = -distributions.Categorical(logits=OUTPUTS).log_prob(classes).mean()
    torch.testing.assert_close(Categorical().nll(OUTPUTS, classes), expected)
    yes = (OUTPUTS > 0.3).double()
    expected = -distributions.Bernoulli(logits=OUTPUTS).log_prob(yes).sum(1).mean()
    torch.testing.assert_close(Bernoulli().nll(OUTPUTS, yes), expected)
    near = OUTPUTS + 0.5
    expected = -distributions.Normal(OUTPUTS, 0.7).log_prob(near).sum(1).mean()
    torch.testing.assert_close(Gaussian(0.7).nll(OUTPUTS, near), expected)


def test_outputs_of_any_number_of_dimensions_are_examples_by_their_first_ones():
    sequence = OUTPUTS.reshape(2, 3, 4)
    classes = torch.tensor([[0, 3, 1], [2, 2, 0]])
    likelihood = Categorical()
    assert likelihood.num_examples(sequence) == 6
    torch.testing.assert_close(
        likelihood.nll(sequence, classes), likelihood.nll(OUTPUTS, classes.flatten())
    )
    assert likelihood.sample(sequence).shape == (2, 3)
    one_logit = OUTPUTS[:, 0]
    assert Bernoulli().num_examples(one_logit) == 6
    yes = (one_logit > 0).double()
    torch.testing.assert_close(
        Bernoulli().nll(one_logit, yes), Bernoulli().nll(one_logit[:, None], yes)
    )
    assert Gaussian().num_examples(sequence) == 2


def test_hessian_products_are_autograds(likelihood):
    vectors = torch.randn_like(OUTPUTS)
    targets = targets_of(likelihood)
    hessian = torch.autograd.functional.hessian(
        lambda outputs: likelihood.row_losses(outputs, targets).sum(), OUTPUTS
    )
    expected = torch.einsum("nivj,vj->ni", hessian, vectors)
    torch.testing.assert_close(likelihood.hessian_product(OUTPUTS, vectors), expected)


def test_draws_have_the_score_mean_and_covariance_of_the_model(likelihood):
    many = OUTPUTS[:1].expand(40_000, -1).contiguous()
    targets = likelihood.sample(many, torch.Generator().manual_seed(0))
    leaf = many.clone().requires_grad_()
    (scores,) = torch.autograd.grad(likelihood.row_losses(leaf, targets).sum(), leaf)
    basis = torch.eye(4, dtype=torch.float64)
    information = likelihood.hessian_product(OUTPUTS[:1].expand(4, -1), basis)
    deviation = information.diagonal().max().sqrt()
    assert scores.mean(0).abs().max() < 4 * deviation / 200
    torch.testing.assert_close(scores.T @ scores / 40_000, information, atol=0.06, rtol=0)


def test_draws_repeat_with_the_generator(likelihood):
    torch.testing.assert_close(targets_of(likelihood), targets_of(likelihood), atol=0, rtol=0)


def test_tempered_outputs_are_divided(likelihood):
    tempered = Tempered(likelihood, 3.0)
    targets = targets_of(likelihood)
    torch.testing.assert_close(tempered.nll(OUTPUTS, targets), likelihood.nll(OUTPUTS / 3, targets))
    vectors = torch.randn_like(OUTPUTS)
    hessian = torch.autograd.functional.hessian(
        lambda outputs: tempered.row_losses(outputs, targets).sum(), OUTPUTS
    )
    expected = torch.einsum("nivj,vj->ni", hessian, vectors)
    torch.testing.assert_close(tempered.hessian_product(OUTPUTS, vectors), expected)
    assert tempered.num_examples(OUTPUTS) == 6
    drawn = tempered.sample(OUTPUTS, torch.Generator().manual_seed(1))
    expected = likelihood.sample(OUTPUTS / 3, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn, expected)


def test_a_learned_scale_finds_the_residuals_deviation():
    likelihood = Gaussian(scale=1.0, learn_scale=True)
    residuals = torch.randn(4000, 2, dtype=torch.float64) * 0.3
    optimizer = torch.optim.LBFGS(likelihood.parameters(), line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = likelihood.nll(torch.zeros_like(residuals), residuals)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    expected = residuals.square().mean().sqrt().item()
    assert likelihood.scale.item() == pytest.approx(expected, rel=1e-4)


def test_information_of_the_learned_scale_is_the_scores_second_moment():
    likelihood = Gaussian(scale=0.7, learn_scale=True)
    outputs = torch.zeros(1, 3, dtype=torch.float64).expand(20_000, -1)
    standardised = (likelihood.sample(outputs, torch.Generator().manual_seed(0))) / 0.7
    score = (1 - standardised.square()).sum(1).detach()
    assert score.square().mean().item() == pytest.approx(likelihood.log_scale_fisher(3), rel=0.05)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="scale"):
        Gaussian(scale=0.0)
    with pytest.raises(ValueError, match="temperature"):
        Tempered(Categorical(), -1.0)
