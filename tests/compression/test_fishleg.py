"""FishLeg against Newton's method and SGD, and as an optimizer among torch's own."""

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn

from compression.errors import DivergedError, NothingPrunableError
from compression.fishleg import FishLeg
from compression.likelihoods import Categorical, Gaussian
from compression.problem import Problem

EXACT = {"atol": 1e-12, "rtol": 1e-9}


def regression(seed=0, spread=3.0):
    """A linear Gaussian model: its loss is a quadratic whose Hessian is the Fisher matrix."""
    torch.manual_seed(seed)
    model = nn.Linear(6, 2).double()
    inputs = torch.randn(64, 6, dtype=torch.float64) * torch.logspace(-spread / 2, spread / 2, 6)
    return model, inputs.double(), torch.randn(64, 2, dtype=torch.float64)


def go(optimizer, model, likelihood, batches, steps):
    losses = []
    for step in range(steps):
        inputs, targets = batches[step % len(batches)]
        optimizer.zero_grad()
        loss = likelihood.nll(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_with_the_exact_inverse_a_step_is_newtons(by_products):
    model, inputs, targets = regression()
    likelihood = Gaussian()
    options = {"momentum": 0.0, "damping": 1e-9, "update_every": 10**9}
    optimizer = FishLeg(model, likelihood, lr=1.0, sgd_lr=1.0, family="full", **options)
    # The first step would learn; the inverse is known already.
    optimizer._num_steps = 1
    space = optimizer._problem.space
    problem = Problem(model, likelihood, space, 1e-9)
    optimizer.operator.begin_at([by_products(problem, inputs).unsqueeze(0)], 1e-9)
    go(optimizer, model, likelihood, [(inputs, targets)], 1)
    ones = torch.cat([inputs, torch.ones(64, 1, dtype=torch.float64)], dim=1)
    least = torch.linalg.lstsq(ones, targets).solution.T
    torch.testing.assert_close(model.weight.detach(), least[:, :6], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.bias.detach(), least[:, 6], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["diagonal", "block", "kronecker", "three_factor", "full"])
def test_the_first_step_is_one_of_sgd(family):
    model, inputs, targets = regression(spread=1.0)
    other = copy.deepcopy(model)
    tiny = {"family": family, "auxiliary_lr": 1e-15}
    optimizer = FishLeg(model, Gaussian(), lr=0.02, sgd_lr=0.3, weight_decay=0.1, **tiny)
    # SGD adds its decay to the gradient: times its own larger step size.
    sgd = torch.optim.SGD(other.parameters(), lr=0.3, weight_decay=0.1 * 0.02 / 0.3)
    for each, one in ((optimizer, model), (sgd, other)):
        go(each, one, Gaussian(), [(inputs, targets)], 1)
    torch.testing.assert_close(model.weight, other.weight, **EXACT)
    torch.testing.assert_close(model.bias, other.bias, **EXACT)


def test_a_step_learns_the_inverse_along_the_gradient():
    model, inputs, targets = regression(spread=1.0)
    options = {"family": "full", "update_every": 1, "auxiliary_lr": 1e-2, "damping": 1e-2}
    optimizer = FishLeg(model, Gaussian(), lr=1e-9, sgd_lr=1e-9, **options)
    go(optimizer, model, Gaussian(), [(inputs, targets)], 1)
    first = optimizer.residual
    go(optimizer, model, Gaussian(), [(inputs, targets)], 300)
    assert optimizer.residual < 0.1 < first


def classification():
    """Three synthetic classes in ten inputs of very different size."""
    torch.manual_seed(0)
    centres = torch.randn(3, 10, dtype=torch.float64)
    labels = torch.arange(240) % 3
    noise = torch.randn(240, 10, dtype=torch.float64)
    inputs = (centres[labels] + noise) * torch.logspace(-1.5, 0.5, 10, dtype=torch.float64)
    order = torch.randperm(240)
    return [(inputs[rows], labels[rows]) for rows in order.split(60)]


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Dropout(0.1), nn.Linear(12, 3)).double()


def mean_loss(model, batches):
    model.eval()
    with torch.no_grad():
        losses = [Categorical().nll(model(inputs), labels) for inputs, labels in batches]
    model.train()
    return torch.stack(losses).mean().item()


def test_a_network_is_trained_in_fewer_steps_than_by_sgd_at_its_best_rate():
    batches, likelihood = classification(), Categorical()
    losses = []
    for rate, momentum in itertools.product((0.1, 0.3, 1.0, 3.0), (0.0, 0.5, 0.9)):
        torch.manual_seed(2)
        model = network()
        sgd = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
        go(sgd, model, likelihood, batches, 60)
        losses.append(mean_loss(model, batches))
    torch.manual_seed(2)
    model = network()
    options = {"damping": 1e-2, "update_every": 1, "auxiliary_lr": 3e-2, "momentum": 0.5}
    optimizer = FishLeg(model, likelihood, lr=0.5, sgd_lr=1.0, **options)
    go(optimizer, model, likelihood, batches, 60)
    assert model.training
    assert mean_loss(model, batches) < 0.8 * min(losses)


def test_a_saved_state_goes_on_bit_for_bit(tmp_path):
    batches = classification()

    def make():
        model = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        options = {"update_every": 3, "auxiliary_lr": 1e-2}
        return model, FishLeg(model, Categorical(), lr=0.1, sgd_lr=0.5, **options)

    whole, optimizer = make()
    begin = copy.deepcopy(whole.state_dict())
    go(optimizer, whole, Categorical(), batches, 16)
    half, optimizer = make()
    half.load_state_dict(begin)
    go(optimizer, half, Categorical(), batches, 8)
    torch.save({"model": half.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "half")
    resumed, optimizer = make()
    kept = torch.load(tmp_path / "half", weights_only=True)
    resumed.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    go(optimizer, resumed, Categorical(), batches, 8)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    sgd = torch.optim.SGD(resumed.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="another optimizer"):
        optimizer.load_state_dict(sgd.state_dict())


def test_schedules_and_groups_scale_the_steps():
    """With a matrix that stands still, a step is proportional to its group's rate."""
    model, inputs, targets = regression(spread=1.0)
    start = copy.deepcopy(model.state_dict())
    options = {"auxiliary_lr": 1e-15, "momentum": 0.0}
    groups = [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.0}]
    optimizer = FishLeg(model, Gaussian(), lr=0.1, sgd_lr=0.1, params=groups, **options)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    changes = []
    for _ in range(2):
        model.load_state_dict(start)
        go(optimizer, model, Gaussian(), [(inputs, targets)], 1)
        changes.append(model.weight.detach() - start["weight"])
        schedule.step()
    torch.testing.assert_close(changes[1], changes[0] / 2, **EXACT)
    assert torch.equal(model.bias, start["bias"])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)


def test_closures_convolutions_and_what_no_family_covers():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
            self.head = nn.Linear(8, 2)
            self.scale = nn.Parameter(torch.ones(()))
            self.frozen = nn.Linear(2, 2).requires_grad_(False)

        def forward(self, images):
            return self.scale * self.head(self.body(images))

    torch.manual_seed(0)
    model = Scaled()
    images, labels = torch.randn(8, 1, 4, 4), torch.arange(8) % 2
    optimizer = FishLeg(model, Categorical(), lr=0.05, sgd_lr=0.1, update_every=1)

    def closure():
        optimizer.zero_grad()
        loss = Categorical().nll(model(images), labels)
        loss.backward()
        return loss.item()

    frozen = copy.deepcopy(model.frozen.state_dict())
    losses = [optimizer.step(closure) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert model.scale != 1
    assert torch.equal(model.frozen.weight, frozen["weight"])
    assert model.body[1].training
    assert model.body[1].num_batches_tracked == 20
    optimizer.detach()
    assert not model._forward_pre_hooks


def test_what_users_get_wrong_is_said():
    model, inputs, _ = regression()
    for wrong in ({"lr": 0}, {"sgd_lr": -1}, {"momentum": 1}, {"weight_decay": -1}):
        with pytest.raises(ValueError, match="not"):
            FishLeg(model, Gaussian(), **wrong)
    with pytest.raises(ValueError, match="update_every"):
        FishLeg(model, Gaussian(), update_every=0)
    with pytest.raises(ValueError, match="none of the model's"):
        FishLeg(model, Gaussian(), params=nn.Linear(1, 1).parameters())
    with pytest.raises(ValueError, match="unknown family"):
        FishLeg(model, Gaussian(), family="hessian")
    with pytest.raises(NothingPrunableError):
        FishLeg(nn.LayerNorm(3), Gaussian())
    optimizer = FishLeg(model, Gaussian())
    model.weight.grad = torch.ones_like(model.weight)
    with pytest.raises(RuntimeError, match="not called"):
        optimizer.step()
    with pytest.raises(TypeError, match="in order, or all by name"):
        nn.Module.__call__(_Two(optimizer), inputs, other=inputs)
    model.weight.grad.fill_(float("nan"))
    with pytest.raises(DivergedError, match="gradient is not finite"):
        optimizer.step()


class _Two(nn.Module):
    """Hands its call's inputs on to an optimizer's look at them."""

    def __init__(self, optimizer):
        super().__init__()
        self.register_forward_pre_hook(optimizer._watcher, with_kwargs=True)

    def forward(self, inputs, other):
        return inputs + other


@pytest.mark.parametrize("precondition", [False, True])
def test_a_batch_that_is_fitted_perfectly_ends_no_training(precondition):
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[30.0, 0.0], [-30.0, 0.0]]))
        model.bias.zero_()
    batch = torch.tensor([[1.0, 0.0], [-1.0, 0.2]]), torch.tensor([0, 1])
    optimizer = FishLeg(model, Categorical(), update_every=1, precondition=precondition)
    losses = go(optimizer, model, Categorical(), [batch], 3)
    assert 0 < model.weight.grad.abs().max() < 1e-20
    assert losses == [0, 0, 0]


def test_an_optimizer_is_copied_by_its_state_alone():
    model, inputs, targets = regression(spread=1.0)
    optimizer = FishLeg(model, Gaussian(), update_every=2)
    go(optimizer, model, Gaussian(), [(inputs, targets)], 3)
    for make_copy in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"load this one's state_dict\(\) into it"):
            make_copy((model, optimizer))
    other = copy.deepcopy(model)
    its_optimizer = FishLeg(other, Gaussian(), update_every=2)
    its_optimizer.load_state_dict(optimizer.state_dict())
    for one, its in ((optimizer, model), (its_optimizer, other)):
        go(one, its, Gaussian(), [(inputs, targets)], 3)
    assert torch.equal(other.weight, model.weight)


@pytest.mark.parametrize("way", ["deepcopy", "average", "file"])
def test_copies_of_the_model_are_free_of_the_optimizer(way, tmp_path):
    model, inputs, targets = regression()
    optimizer = FishLeg(model, Gaussian())
    go(optimizer, model, Gaussian(), [(inputs, targets)], 2)
    if way == "deepcopy":
        other = copy.deepcopy(model)
    elif way == "average":
        other = torch.optim.swa_utils.AveragedModel(model)
    else:
        torch.save(model, tmp_path / "model.pt")
        other = torch.load(tmp_path / "model.pt", weights_only=False)
    with torch.no_grad():
        assert torch.equal(other(inputs), model(inputs))
    other(inputs[:3])
    assert optimizer._watcher.inputs[0] is inputs
    go(optimizer, model, Gaussian(), [(inputs, targets)], 12)
