"""ExactGN and MinNormGN as torch optimizers, and what theory says of their steps."""

import copy
import math
import pickle
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import ExponentialLR

from gn_study.dense import dense_direction, dense_jacobian, flatten
from gn_study.direction import gn_direction
from gn_study.losses import CrossEntropy, SquareLoss
from gn_study.minimum_norm import min_norm_direction
from gn_study.optimizers import ExactGN, MinNormGN
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import RankError
from gn_study.revmlp import RevMLP

PLAIN = PseudoInverse("none")
BOTH = pytest.mark.parametrize("optimizer_class", [ExactGN, MinNormGN])


def classification(make_network, draw, **options):
    network = make_network(6, outputs=3, hidden=60, **options)
    return network, draw(9, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])


def vector(network):
    return flatten(network, {k: v.detach() for k, v in network.named_parameters()})


@BOTH
def test_a_step_is_the_direction_of_the_summed_loss(make_network, draw, optimizer_class):
    compute = {ExactGN: gn_direction, MinNormGN: min_norm_direction}[optimizer_class]
    network, inputs, targets = classification(make_network, draw)
    error = CrossEntropy().error(network(inputs).detach(), targets)
    direction, _ = compute(network, inputs, error, pseudo_inverse=PLAIN)
    expected = vector(network) - 0.3 * flatten(network, direction)
    start = copy.deepcopy(network.state_dict())

    def mean():
        return functional.cross_entropy(network(inputs), targets)

    def total():
        return functional.cross_entropy(network(inputs), targets, reduction="sum")

    def with_backward():
        optimizer.zero_grad()
        loss = mean()
        loss.backward()
        return loss

    def in_pieces():
        loss = functional.cross_entropy(network(inputs[:5]), targets[:5], reduction="sum")
        rest = functional.cross_entropy(network(inputs[5:]), targets[5:], reduction="sum")
        return loss + rest

    def mean_in_pieces():
        outputs = torch.cat([network(inputs[:2]), network(inputs[2:])])
        return functional.cross_entropy(outputs, targets)

    def accumulated():
        optimizer.zero_grad()
        losses = []
        for some in (slice(0, 2), slice(2, 9)):
            loss = functional.cross_entropy(network(inputs[some]), targets[some])
            losses.append(loss * len(targets[some]) / len(targets))
            losses[-1].backward()
        return sum(losses).detach()

    for closure, reduction in (
        (mean, "mean"),
        (with_backward, "mean"),
        (mean_in_pieces, "mean"),
        (accumulated, "mean"),
        (total, "sum"),
        (in_pieces, "sum"),
    ):
        network.load_state_dict(start)
        optimizer = optimizer_class(
            network, lr=0.3, loss=CrossEntropy(reduction=reduction), pseudo_inverse=PLAIN
        )
        before = closure().detach()
        loss = optimizer.step(closure)
        assert torch.allclose(loss, before)
        assert not loss.requires_grad
        assert torch.allclose(vector(network), expected, rtol=1e-9, atol=1e-12)
        assert all(parameter.grad is None for parameter in network.parameters())


@BOTH
@pytest.mark.parametrize(
    "loss",
    [CrossEntropy(), CrossEntropy("softmax"), CrossEntropy("softmax", damping=0.1), SquareLoss()],
)
def test_loss_falls_as_predicted(make_network, draw, optimizer_class, loss):
    network, inputs, classes = classification(make_network, draw)
    targets = draw(9, 3, seed=2) if isinstance(loss, SquareLoss) else classes
    optimizer = optimizer_class(network, lr=1e-3, loss=loss, pseudo_inverse=PLAIN, diagnose=True)
    outputs = network(inputs).detach()
    error = loss.error(outputs, targets)
    promised = -1e-3 * float((error * loss.newton_error(outputs, error)).sum()) / len(inputs)
    optimizer.step(lambda: loss(network(inputs), targets))
    found = optimizer.diagnostics
    assert found.direction.right_inverse_residual < 1e-7
    assert found.predicted_change == pytest.approx(promised, rel=1e-6)
    assert found.realised_change == pytest.approx(promised, rel=0.02)


def test_square_loss_contracts_at_the_same_rate_everywhere(make_network, draw):
    """To `e^-1` of the error after time one, within O(step size)."""
    inputs, targets, distances = draw(5, 6), draw(5, 6, seed=1), []
    for num_steps in (50, 100):
        network = make_network(hidden=60, init_std=0.1)
        optimizer = ExactGN(network, lr=1 / num_steps, loss=SquareLoss(), pseudo_inverse=PLAIN)
        start = (network(inputs) - targets).detach()
        for _ in range(num_steps):
            optimizer.step(lambda network=network: SquareLoss()(network(inputs), targets))
        end = (network(inputs) - targets).detach()
        distances.append(float((end - math.exp(-1) * start).norm() / start.norm()))
    assert distances[0] < 0.25
    assert 1.5 < distances[0] / distances[1] < 2.5


def test_right_inverses_share_the_path_of_the_outputs_but_not_of_the_weights(make_network, draw):
    """Theorem 4.3: apart by O(step size) after the same time, with the dense pseudo-inverse."""
    inputs, targets = draw(4, 6), draw(4, 6, seed=1)
    gaps, lengths = [], []
    for num_steps in (20, 40, 80):
        papers, shortest = (make_network(hidden=16, init_std=0.3) for _ in range(2))
        before = vector(papers)
        optimizer = ExactGN(papers, lr=1 / num_steps, loss=SquareLoss(), pseudo_inverse=PLAIN)
        for _ in range(num_steps):
            optimizer.step(lambda network=papers: SquareLoss()(network(inputs), targets))
            error = (shortest(inputs) - targets).detach()
            direction = dense_direction(shortest, inputs, error)
            for name, parameter in shortest.named_parameters():
                parameter.data.sub_(direction[name], alpha=1 / num_steps)
        gaps.append(float((papers(inputs) - shortest(inputs)).norm()))
        lengths.append([float((vector(network) - before).norm()) for network in (papers, shortest)])
    for coarse, fine in pairwise(gaps):
        assert 1.5 < coarse / fine < 2.5
    assert lengths[-1][0] > 1.5 * lengths[-1][1]


def test_gauss_seidel_meets_the_step_exactly_even_as_the_rate_falls_to_nought(make_network, draw):
    network, inputs, targets = make_network(hidden=60), draw(5, 6), draw(5, 6, seed=1)
    optimizer = ExactGN(
        network, lr=0.7, loss=SquareLoss(), pseudo_inverse=PLAIN, scheme="gauss_seidel"
    )
    error = (network(inputs) - targets).detach()
    for rate in (0.7, 0.5, 0.0, 1.0):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step(lambda: SquareLoss()(network(inputs), targets))
        error = (1 - rate) * error
        assert torch.allclose(network(inputs) - targets, error, rtol=0, atol=1e-8)


@BOTH
def test_weight_decay_is_added_to_the_direction(make_network, draw, optimizer_class):
    network, inputs, targets = classification(make_network, draw)
    before, start, ends = vector(network), copy.deepcopy(network.state_dict()), []
    for decay in (0.0, 0.1):
        network.load_state_dict(start)
        optimizer = optimizer_class(network, lr=0.5, weight_decay=decay)
        optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))
        ends.append(vector(network))
    assert torch.allclose(ends[1], ends[0] - 0.5 * 0.1 * before, atol=1e-12)


@BOTH
def test_groups_have_rates_and_decays_of_their_own(make_network, draw, optimizer_class):
    network, inputs, targets = classification(make_network, draw)
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    weights = [value for name, value in network.named_parameters() if name.endswith("weight")]
    biases = [value for name, value in network.named_parameters() if name.endswith("bias")]
    groups = [{"params": weights}, {"params": biases, "lr": 0.0, "weight_decay": 1.0}]
    optimizer = optimizer_class(network, lr=0.2, params=groups)
    optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))
    for name, value in network.named_parameters():
        assert torch.equal(value, start[name]) == name.endswith("bias")


@BOTH
def test_schedulers_change_the_step(make_network, draw, optimizer_class):
    network, inputs, targets = classification(make_network, draw)
    optimizer = optimizer_class(network, lr=0.4)
    scheduler = ExponentialLR(optimizer, 0.5)
    for rate in (0.4, 0.2, 0.1):
        before = vector(network)
        error = CrossEntropy().error(network(inputs).detach(), targets)
        compute = gn_direction if optimizer_class is ExactGN else min_norm_direction
        direction = flatten(network, compute(network, inputs, error)[0])
        optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))
        assert torch.allclose(vector(network), before - rate * direction, atol=1e-12)
        scheduler.step()


@BOTH
def test_training_goes_on_from_a_state_dict(make_network, draw, optimizer_class):
    def run(network, optimizer, num_steps):
        for _ in range(num_steps):
            optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))

    network, inputs, targets = classification(make_network, draw)
    optimizer = optimizer_class(network, lr=0.3, weight_decay=0.01)
    run(network, optimizer, 2)
    saved = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    run(network, optimizer, 2)
    other, _, _ = classification(make_network, draw, seed=5)
    resumed = optimizer_class(other, lr=1.0)
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert resumed.param_groups[0]["lr"] == 0.3
    run(other, resumed, 2)
    assert torch.equal(vector(other), vector(network))


@pytest.mark.parametrize(
    ("optimizer_class", "options"),
    [
        (ExactGN, {"scheme": "gauss_seidel"}),
        (ExactGN, {"layer_weights": "minimum_norm", "cross_term": False}),
        (MinNormGN, {}),
    ],
)
@pytest.mark.parametrize("way", ["copy", "pickle"])
def test_copies_with_their_network_go_on_alike(make_network, draw, optimizer_class, options, way):
    network, inputs, targets = classification(make_network, draw)
    optimizer = optimizer_class(
        network,
        lr=0.3,
        loss=CrossEntropy("softmax", damping=0.1),
        weight_decay=0.01,
        pseudo_inverse=PseudoInverse(rtol=0.1),
        diagnose=True,
        **options,
    )

    def step(network, optimizer):
        return optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))

    step(network, optimizer)
    both = network, optimizer
    pickled = pickle.dumps(both)
    other, its_optimizer = copy.deepcopy(both) if way == "copy" else pickle.loads(pickled)  # noqa: S301
    assert its_optimizer.diagnostics == optimizer.diagnostics
    before = vector(network)
    assert torch.equal(vector(other), before)
    step(other, its_optimizer)
    assert torch.equal(vector(network), before)
    step(network, optimizer)
    assert torch.equal(vector(other), vector(network))
    assert its_optimizer.diagnostics == optimizer.diagnostics


def test_one_loop_serves_every_optimizer(make_network, draw):
    network, inputs, targets = classification(make_network, draw)
    start, losses = copy.deepcopy(network.state_dict()), {}
    for name, optimizer in {
        "exact": ExactGN(network, lr=0.5),
        "shortest": MinNormGN(network, lr=0.5),
        "adam": torch.optim.Adam(network.parameters(), lr=1e-3),
        "sgd": torch.optim.SGD(network.parameters(), lr=0.1),
    }.items():
        network.load_state_dict(start)

        def closure(optimizer=optimizer):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), targets)
            loss.backward()
            return loss

        losses[name] = [float(optimizer.step(closure)) for _ in range(10)]
    assert all(values[-1] < values[0] for values in losses.values())
    assert losses["exact"][-1] < losses["sgd"][-1]
    assert losses["shortest"][-1] < losses["sgd"][-1]


@BOTH
def test_what_is_frozen_stays(make_network, draw, optimizer_class):
    network, inputs, targets = classification(make_network, draw)
    frozen = {name: value.clone() for name, value in network.named_buffers()}
    assert len(frozen) == 5
    optimizer = optimizer_class(network, lr=0.5)
    for _ in range(3):
        optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))
    for name, value in network.named_buffers():
        assert torch.equal(value, frozen[name])


def test_passes_without_gradient_are_not_part_of_the_batch(make_network, draw):
    network, inputs, targets = classification(make_network, draw)
    error = CrossEntropy().error(network(inputs).detach(), targets)
    direction, _ = gn_direction(network, inputs, error)
    expected = vector(network) - 0.1 * flatten(network, direction)

    def closure():
        network(draw(4, 6, seed=3))
        with torch.no_grad():
            network(draw(4, 6, seed=4))
        return functional.cross_entropy(network(inputs), targets)

    ExactGN(network, lr=0.1).step(closure)
    assert torch.allclose(vector(network), expected, atol=1e-12)


@BOTH
def test_a_loss_that_is_not_finite_changes_nothing(make_network, draw, optimizer_class):
    network, inputs, targets = classification(make_network, draw)
    before = vector(network)
    optimizer = optimizer_class(network)
    for factor, message in ((math.nan, "the loss is nan"), (math.inf, "the loss is inf")):
        with pytest.raises(FloatingPointError, match=message):
            optimizer.step(lambda f=factor: f * functional.cross_entropy(network(inputs), targets))
    inputs[0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="the inputs are not all finite"):
        optimizer.step(lambda: network(inputs).nansum())
    assert torch.equal(vector(network), before)


def test_strict_changes_nothing_when_it_refuses(make_network, draw):
    network, inputs = make_network(6, outputs=3, hidden=8), draw(12, 6)
    targets, before = torch.zeros(12, dtype=torch.long), vector(network)
    optimizer = ExactGN(network, strict=True)
    with pytest.raises(RankError, match="a batch of 12 is larger than the rank 9"):
        optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))
    with pytest.raises(RankError, match="of the 36 that this batch needs"):
        MinNormGN(network, strict=True, pseudo_inverse=PseudoInverse(rtol=0.3)).step(
            lambda: functional.cross_entropy(network(inputs), targets)
        )
    assert torch.equal(vector(network), before)


@BOTH
def test_a_closure_must_evaluate_the_network(make_network, draw, optimizer_class):
    network, inputs, _ = classification(make_network, draw)
    other = make_network(6, outputs=3)
    optimizer = optimizer_class(network)
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()
    for closure in (
        lambda: 1.0,
        lambda: other(inputs).sum(),
        lambda: network(inputs).detach().sum(),
    ):
        with pytest.raises(RuntimeError, match="no gradient with respect to outputs"):
            optimizer.step(closure)


@BOTH
def test_parameters_outside_the_chain_are_refused(make_network, optimizer_class):
    network = make_network()
    wrapped = nn.Sequential(network, nn.Linear(6, 3))
    with pytest.raises(TypeError, match="a Sequential, not a reversible network"):
        optimizer_class(wrapped)
    with pytest.raises(
        ValueError, match=r"outside the reversible chain, of shapes \(3, 6\), \(3,\)"
    ):
        optimizer_class(network, params=wrapped.parameters())
    with pytest.raises(ValueError, match=r"no group has blocks.1.second.weight, blocks.1.second.b"):
        optimizer_class(network, params=list(network.parameters())[:-2])
    optimizer = optimizer_class(network)
    with pytest.raises(ValueError, match="outside the reversible chain"):
        optimizer.add_param_group({"params": wrapped[1].parameters()})
    assert len(optimizer.param_groups) == 1


@BOTH
def test_frozen_parameters_are_refused_and_nothing_moves(make_network, draw, optimizer_class):
    network, inputs, targets = classification(make_network, draw)
    optimizer = optimizer_class(network, weight_decay=0.1)
    network.blocks[0].requires_grad_(False)
    before = vector(network)
    for act in (
        lambda: optimizer.step(lambda: functional.cross_entropy(network(inputs), targets)),
        lambda: optimizer_class(network),
    ):
        with pytest.raises(ValueError, match=r"blocks\.0\.first\.weight.* cannot be frozen"):
            act()
    assert torch.equal(vector(network), before)
    network.requires_grad_()
    optimizer.step(lambda: functional.cross_entropy(network(inputs), targets))
    assert not torch.equal(vector(network), before)


class Scaled(RevMLP):
    """With a trained scale behind the chain."""

    def __init__(self):
        super().__init__(4, hidden=8)
        self.scale = nn.Parameter(torch.ones(()))


@BOTH
def test_a_network_with_more_than_the_chain_is_refused(optimizer_class):
    with pytest.raises(ValueError, match="outside the reversible chain: scale"):
        optimizer_class(Scaled())


@BOTH
@pytest.mark.parametrize("options", [{"lr": -1.0}, {"lr": math.nan}, {"weight_decay": -0.1}])
def test_impossible_figures_are_refused(make_network, optimizer_class, options):
    with pytest.raises(ValueError, match="must be finite, 0 or more"):
        optimizer_class(make_network(), **options)


def test_options_that_exclude_each_other_are_refused(make_network, draw):
    network = make_network()
    for options in ({"cross_term": False}, {"layer_weights": "minimum_norm"}):
        with pytest.raises(ValueError, match="gauss_seidel has"):
            ExactGN(network, scheme="gauss_seidel", **options)
    with pytest.raises(ValueError, match="the Jacobian is not formed"):
        MinNormGN(network, pseudo_inverse=PseudoInverse("noise"))
    parameters = list(network.parameters())
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.2}]
    optimizer = ExactGN(network, params=groups, scheme="gauss_seidel", loss=SquareLoss())
    with pytest.raises(ValueError, match="needs one lr for all groups"):
        optimizer.step(lambda: SquareLoss()(network(draw(3, 6)), draw(3, 6)))


def test_the_generalised_gauss_newton_step_is_met_up_to_a_shift_of_the_logits(make_network, draw):
    """`(J^T H J)^+ J^T e` changes logits by `H^+ e`; along the constant, H knows no wish."""
    network, inputs, targets = classification(make_network, draw)
    loss = CrossEntropy("softmax")
    outputs = network(inputs).detach()
    error = loss.error(outputs, targets)
    jacobian = dense_jacobian(network, inputs)
    probabilities = torch.softmax(outputs, dim=1)
    hessian = torch.block_diag(*(torch.diag(p) - torch.outer(p, p) for p in probabilities))
    gauss_newton = jacobian.T @ hessian @ jacobian
    dense = torch.linalg.pinv(gauss_newton, rcond=1e-10, hermitian=True) @ jacobian.T
    dense_change = (jacobian @ dense @ error.flatten()).view_as(error)
    direction, _ = gn_direction(
        network, inputs, loss.newton_error(outputs, error), pseudo_inverse=PLAIN
    )
    change = (jacobian @ flatten(network, direction)).view_as(error)
    dense_change = dense_change - dense_change.mean(1, keepdim=True)
    change = change - change.mean(1, keepdim=True)
    assert (change - dense_change).norm() < 1e-6 * change.norm()
