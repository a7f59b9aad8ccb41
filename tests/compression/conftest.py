"""Small synthetic problems in float64 whose curvature can be written down densely."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev

from compression.fisher import fisher_product
from compression.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood
from compression.parameters import collect_parameters
from compression.problem import Inputs, Problem

NUM_EXAMPLES, BATCH = 60, 20

LIKELIHOODS = {
    "categorical": Categorical,
    "bernoulli": Bernoulli,
    "gaussian": lambda: Gaussian(scale=0.7),
}


def _jacobian(problem: Problem, inputs: Inputs) -> Tensor:
    parameters = {name: weight.detach() for name, weight in problem.space.of(problem.model).items()}
    columns = jacrev(lambda values: problem.outputs(values, inputs).flatten())(parameters)
    return torch.cat(
        [columns[slot.name].flatten(start_dim=1) for slot in problem.space.slots], dim=1
    )


def _dense_fisher(problem: Problem, inputs: Inputs) -> Tensor:
    outputs = problem.outputs({}, inputs).detach()
    targets = problem.likelihood.sample(outputs)
    hessian = torch.autograd.functional.hessian(
        lambda values: problem.likelihood.nll(values, targets), outputs
    )
    jacobian = _jacobian(problem, inputs)
    return jacobian.T @ hessian.reshape(len(jacobian), len(jacobian)) @ jacobian


def _by_products(problem: Problem, inputs: Inputs) -> Tensor:
    basis = torch.eye(problem.space.size, dtype=problem.space.dtype)
    return torch.stack([fisher_product(problem, inputs, column) for column in basis], dim=1)


def _make_problem(
    model: nn.Module,
    likelihood: Likelihood,
    damping: float = 1e-2,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
) -> Problem:
    model = model.double().eval()
    return Problem(model, likelihood, collect_parameters(model, include, exclude), damping)


@pytest.fixture
def dense_fisher() -> Callable[[Problem, Inputs], Tensor]:
    """Fisher matrix of a batch, from the Jacobian and autograd's Hessian of the loss."""
    return _dense_fisher


@pytest.fixture
def by_products() -> Callable[[Problem, Inputs], Tensor]:
    """Fisher matrix of a batch, column by column."""
    return _by_products


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    """Maker of a problem in float64 and evaluation mode."""
    return _make_problem


@pytest.fixture(params=LIKELIHOODS)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    made: Likelihood = LIKELIHOODS[request.param]()
    return made


def _positive_definite(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2 * size, size, dtype=torch.float64, generator=generator)
    return rows.T @ rows / size


@pytest.fixture
def positive_definite() -> Callable[[int, int], Tensor]:
    """Maker of a random positive definite matrix, from its size and a seed."""
    return _positive_definite


@pytest.fixture
def small_network() -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))

    return make


@pytest.fixture
def uneven(
    make_problem: Callable[..., Problem],
    small_network: Callable[[], nn.Module],
    likelihood: Likelihood,
) -> tuple[Problem, Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """A problem, inputs and targets drawn from its model, and these in batches of five and two."""
    made = make_problem(small_network(), likelihood)
    inputs = torch.randn(7, 4, dtype=torch.float64)
    targets = likelihood.sample(made.model(inputs).detach())
    return made, inputs, targets, [(inputs[:5], targets[:5]), (inputs[5:], targets[5:])]


@pytest.fixture
def problem(make_problem: Callable[..., Problem]) -> Problem:
    """A small classifier."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3, bias=False))
    return make_problem(network, Categorical(), damping=0.05)


@pytest.fixture
def loader() -> list[tuple[Tensor, Tensor]]:
    """Its data, for some dozens of gradients."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(NUM_EXAMPLES, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(3, (NUM_EXAMPLES,), generator=generator)
    return list(zip(inputs.split(BATCH), targets.split(BATCH), strict=True))
