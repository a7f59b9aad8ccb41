"""Learned inverses against the inverses that they should become."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from compression.auxiliary import BETAS, EPSILON, auxiliary_loss
from compression.curvature import CurvatureBase
from compression.errors import DivergedError, ExhaustedLoaderError, NotFittedError
from compression.families.block import DenseBlocks
from compression.families.diagonal import Diagonal
from compression.families.kronecker import Kronecker
from compression.families.layered import make_family
from compression.learning import LearnedInverse
from compression.likelihoods import Categorical, Gaussian

SHORT = {
    **{"family": "full", "steps": 30, "refine_steps": 10},
    **{"learning_rate": 1e-2, "warmup_batches": 5},
}
EXACT = {"atol": 1e-12, "rtol": 1e-9}


def fisher_of_spectrum(spectrum, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(spectrum), len(spectrum), generator=generator, dtype=torch.float64)
    vectors, _ = torch.linalg.qr(noise)
    return vectors @ torch.diag(spectrum) @ vectors.T


def learn(operator, damped, steps, learning_rate=1e-3, mask=None, precondition=True):
    """Adam on white directions, as `LearnedInverse` does it, with a matrix for a network."""
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(operator.parameters(), lr=learning_rate, betas=BETAS, eps=EPSILON)
    for step in range(steps):
        adam.param_groups[0]["lr"] = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        direction = torch.randn(operator.size, generator=generator, dtype=torch.float64)
        loss = auxiliary_loss(operator, lambda v: damped @ v, direction, mask, precondition)
        adam.zero_grad()
        loss.surrogate.backward()
        adam.step()
    return operator.dense().detach()


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("family", ["diagonal", "block", "kronecker", "three_factor", "full"])
@pytest.mark.parametrize("precondition", [False, True])
def test_the_surrogate_has_the_gradient_of_the_quadratic_loss(make_problem, family, precondition):
    problem = make_problem(nn.Conv2d(2, 2, 2), Gaussian())
    operator = make_family(family, problem.space, 3.0)
    with torch.no_grad():
        for factor in operator.parameters():
            factor.add_(torch.randn_like(factor) * 0.2)
    damped = fisher_of_spectrum(torch.rand(operator.size, dtype=torch.float64) + 0.1)
    direction = torch.randn(operator.size, dtype=torch.float64)
    factors = list(operator.parameters())
    loss = auxiliary_loss(operator, lambda v: damped @ v, direction, precondition=precondition)
    found = torch.cat([g.flatten() for g in torch.autograd.grad(loss.surrogate, factors)])
    solution = operator.product(direction)
    value = solution @ damped @ solution / 2 - direction @ solution
    assert loss.value == pytest.approx((value / direction.norm() ** 2).item())
    if precondition:
        # The same gradient, with Q as a metric: that of |Q^(1/2) residual| in v.
        residual = (damped @ solution - direction).detach()
        value = operator.dense().detach() @ residual @ solution
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(value, factors)])
    torch.testing.assert_close(found / found.norm(), expected / expected.norm(), **EXACT)
    assert found @ expected > 0


@pytest.mark.parametrize("precondition", [False, True])
@pytest.mark.parametrize("exponent", [-149, -126, -100, -70, -30, 7, 60])
def test_the_auxiliary_loss_is_the_same_at_any_length_of_its_direction(precondition, exponent):
    spectrum = torch.tensor([3.0, 0.5, 0.01])
    direction = torch.tensor([1.0, -2.0, 1.0])

    def loss_and_gradient(direction):
        operator = Diagonal(3, 1.3, torch.float32)
        loss = auxiliary_loss(
            operator, lambda v: spectrum * v + 0.1 * v, direction, precondition=precondition
        )
        loss.surrogate.backward()
        return loss, operator.outer.grad

    loss, gradient = loss_and_gradient(direction)
    scaled, its_gradient = loss_and_gradient(direction * 2.0**exponent)
    assert scaled == loss
    assert torch.equal(its_gradient, gradient)
    assert gradient.any()


def test_nothing_is_learned_along_no_direction():
    operator = Diagonal(3, 1.3, torch.float32)
    loss = auxiliary_loss(operator, lambda v: 2 * v, torch.zeros(3))
    loss.surrogate.backward()
    assert (loss.surrogate.item(), loss.value, loss.residual) == (0, 0, 0)
    assert not operator.outer.grad.any()


def test_stiff_directions_are_learned_with_preconditioning_only():
    """A spectrum of 1 / i^2, damping 1e-3: facts of the reference experiment."""
    spectrum = 1 / torch.arange(1, 101, dtype=torch.float64).square()
    damped = fisher_of_spectrum(spectrum) + 1e-3 * torch.eye(100, dtype=torch.float64)
    inverse = torch.linalg.inv(damped)
    errors = {}
    for precondition, steps in ((True, 3000), (False, 1000)):
        operator = Kronecker(1, 100, 1, False, True, 1e3, torch.float64)
        found = learn(operator, damped, steps, precondition=precondition)
        errors[precondition] = relative_error(found, inverse)
    assert errors[True] < 0.01
    assert errors[False] > 0.2


def test_each_family_learns_its_own_best_fit():
    spectrum = torch.linspace(0.05, 1, 12, dtype=torch.float64)
    damped = fisher_of_spectrum(spectrum)
    diagonal = learn(Diagonal(12, 2.0, torch.float64), damped, 1500, 1e-2)
    assert relative_error(diagonal, (1 / damped.diagonal()).diag()) < 0.03
    blocks = learn(DenseBlocks(12, 4, 2.0, torch.float64), damped, 1500, 1e-2)
    expected = torch.block_diag(
        *(torch.linalg.inv(damped[i : i + 4, i : i + 4]) for i in (0, 4, 8))
    )
    assert relative_error(blocks, expected) < 0.05
    full = learn(DenseBlocks(12, 12, 2.0, torch.float64), damped, 1500, 1e-2)
    assert relative_error(full, torch.linalg.inv(damped)) < 1e-3


def test_under_a_mask_the_kept_weights_own_matrix_is_inverted():
    damped = fisher_of_spectrum(torch.linspace(0.05, 1, 12, dtype=torch.float64))
    mask = torch.arange(12) % 3 != 0
    found = learn(DenseBlocks(12, 12, 2.0, torch.float64), damped, 1500, 1e-2, mask)
    expected = torch.linalg.inv(damped[mask][:, mask])
    assert relative_error(found[mask][:, mask], expected) < 1e-3
    assert relative_error(torch.linalg.inv(damped)[mask][:, mask], expected) > 0.1


def linear_gaussian(make_problem, damping=0.05):
    """Two outputs of four inputs: the damped Fisher matrix is `I x (X'X / s^2 + g I)`."""
    torch.manual_seed(0)
    problem = make_problem(nn.Linear(4, 2, bias=False), Gaussian(scale=0.8), damping)
    inputs = torch.randn(64, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64)
    moments = inputs.T @ inputs / 64 / 0.8**2
    identity = torch.eye(2, dtype=torch.float64)
    inner = torch.linalg.inv(moments + damping * torch.eye(4, dtype=torch.float64))
    return problem, inputs, torch.kron(identity, inner.contiguous())


def test_a_kronecker_product_is_exact_for_a_linear_gaussian_model(make_problem, by_products):
    """Least of the expected auxiliary loss `tr(Q (F + g I) Q) / 2 - tr Q` over the family."""
    problem, inputs, expected = linear_gaussian(make_problem)
    identity = torch.eye(problem.space.size, dtype=torch.float64)
    damped = by_products(problem, inputs) + problem.damping * identity
    operator = make_family("kronecker", problem.space, 1 / problem.damping)
    search = torch.optim.LBFGS(
        operator.parameters(), max_iter=2000, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        search.zero_grad()
        matrix = operator.dense()
        loss = (matrix @ damped @ matrix).trace() / 2 - matrix.trace()
        loss.backward()
        return loss

    search.step(closure)
    assert relative_error(operator.dense().detach(), expected) < 1e-4


@pytest.mark.parametrize(("batch_size", "error"), [(64, 0.05), (16, 0.15)])
def test_learning_comes_near_it_and_nearer_with_larger_batches(make_problem, batch_size, error):
    problem, inputs, expected = linear_gaussian(make_problem)
    curvature = LearnedInverse(steps=800, learning_rate=2e-2, warmup_batches=0)
    curvature.attach(problem)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    loader = [(inputs[rows], torch.zeros(batch_size, 2)) for rows in order.split(batch_size)]
    curvature.fit(loader)
    identity = torch.eye(problem.space.size, dtype=torch.float64)
    assert relative_error(curvature.inverse_product(identity), expected) < error
    curvature.forward_batches = len(loader)
    torch.testing.assert_close(
        curvature.forward_product(expected[0]), identity[0], atol=1e-9, rtol=0
    )


@pytest.fixture
def curvature(make_problem, small_network):
    made = LearnedInverse(**SHORT)
    made.attach(make_problem(small_network(), Categorical()))
    return made


@pytest.fixture
def loader():
    torch.manual_seed(1)
    return [(torch.randn(8, 4, dtype=torch.float64), torch.randint(3, (8,))) for _ in range(3)]


def test_masked_weights_take_no_part(curvature, loader):
    curvature.fit(loader)
    mask = torch.arange(curvature.problem.space.size) % 4 != 1
    curvature.set_mask(mask)
    vectors = torch.randn(2, len(mask), dtype=torch.float64)
    dense = curvature.inverse_product(torch.eye(len(mask), dtype=torch.float64))
    assert not dense[~mask].any()
    assert not dense[:, ~mask].any()
    torch.testing.assert_close(curvature.inverse_product(vectors), vectors @ dense, **EXACT)
    torch.testing.assert_close(curvature.inverse_diagonal(), dense.diagonal(), **EXACT)
    groups = torch.arange(len(mask) // 4 * 4).reshape(-1, 4)
    blocks = torch.stack([dense[group][:, group] for group in groups])
    torch.testing.assert_close(curvature.inverse_blocks(groups), blocks, **EXACT)
    torch.testing.assert_close(CurvatureBase.inverse_blocks(curvature, groups), blocks, **EXACT)
    product = curvature.forward_product(vectors[0])
    assert not product[~mask].any()
    torch.testing.assert_close(product, curvature.forward_product(vectors[0] * mask), **EXACT)


def test_refinement_goes_on_and_a_new_fit_begins_anew(curvature, loader):
    curvature.fit(loader)
    first = curvature.inverse_diagonal()
    curvature.refine(loader)
    refined = curvature.inverse_diagonal()
    assert not torch.equal(first, refined)
    curvature.fit(loader)
    torch.testing.assert_close(curvature.inverse_diagonal(), first, atol=0, rtol=0)


def test_a_fit_saved_half_way_ends_as_the_whole_one(curvature, loader, tmp_path):
    curvature.fit(loader)
    whole = curvature.inverse_diagonal()

    class StoppedError(Exception):
        pass

    def stop(stage, done, total, residual):
        if done == 15:
            save_file(curvature.state_dict(), tmp_path / "half.safetensors")
            raise StoppedError

    with pytest.raises(StoppedError):
        curvature.fit(loader, stop)
    other = LearnedInverse(**SHORT)
    other.attach(curvature.problem)
    other.load_state_dict(load_file(tmp_path / "half.safetensors"))
    steps = []
    other.fit(loader, lambda stage, done, total, residual: steps.append(done))
    assert steps == list(range(16, 31))
    torch.testing.assert_close(other.inverse_diagonal(), whole, atol=0, rtol=0)


def test_learning_stops_at_the_tolerance(make_problem):
    problem, inputs, _ = linear_gaussian(make_problem)
    curvature = LearnedInverse(steps=800, learning_rate=2e-2, tolerance=0.4, warmup_batches=0)
    curvature.attach(problem)
    seen = []
    curvature.fit([(inputs, inputs)], lambda stage, done, total, residual: seen.append(residual))
    assert len(seen) < 800
    assert seen[-1] < 0.4 <= min(seen[:-1])


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_other_fisher_matrices_can_be_learned(make_problem, small_network, loader, fisher):
    curvature = LearnedInverse(steps=3, fisher=fisher, warmup_batches=0)
    curvature.attach(make_problem(small_network(), Categorical()))
    before = curvature.inverse_diagonal()
    curvature.fit(loader)
    assert (curvature.inverse_diagonal() != before).any()


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_gradients_at_drawn_targets_give_the_beginning(
    make_problem, small_network, by_products, family
):
    problem = make_problem(small_network(), Categorical(), damping=0.1)
    inputs = torch.randn(8, 4, dtype=torch.float64)
    curvature = LearnedInverse(family, steps=1, warmup_batches=400, learning_rate=1e-12)
    curvature.attach(problem)
    curvature.fit([(inputs, torch.zeros(8, dtype=torch.int64))])
    fisher = by_products(problem, inputs)
    if family == "diagonal":
        fisher = fisher.diagonal().diag()
    expected = torch.linalg.inv(fisher + 0.1 * torch.eye(problem.space.size))
    found = curvature.inverse_product(torch.eye(problem.space.size, dtype=torch.float64))
    assert relative_error(found, expected) < 0.1


def test_what_cannot_be_learned_is_refused(curvature, loader, make_problem, small_network):
    with pytest.raises(NotFittedError, match="call fit or refine"):
        curvature.forward_product(torch.zeros(curvature.problem.space.size))
    with pytest.raises(NotFittedError, match="belongs to no Surgeon"):
        LearnedInverse().inverse_diagonal()
    with pytest.raises(ExhaustedLoaderError):
        curvature.fit([])
    with pytest.raises(ExhaustedLoaderError):
        curvature.fit(batch for batch in loader)
    with pytest.raises(DivergedError):
        curvature.fit([(torch.full((2, 4), float("nan"), dtype=torch.float64), torch.zeros(2))])
    with pytest.raises(ValueError, match="1 or more"):
        LearnedInverse(steps=0)
