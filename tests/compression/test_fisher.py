"""Fisher products against dense matrices, and against curvlinops as a referee."""

import pytest
import torch
from curvlinops import EFLinearOperator, GGNLinearOperator
from torch import nn

from compression.errors import DivergedError, ExhaustedLoaderError
from compression.fisher import (
    drawn_gradient,
    empirical_product,
    example_gradients,
    fisher_product,
    loss_gradient,
    mean_product,
    sampled_product,
)
from compression.likelihoods import Bernoulli, Categorical, Gaussian
from compression.parameters import collect_parameters
from compression.problem import Problem, cycle

EXACT = {"atol": 1e-12, "rtol": 1e-10}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4, padding_idx=0)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, symbols):
        tokens = self.embedding(symbols)
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.head(tokens)


def networks():
    torch.manual_seed(0)
    images = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    convolutions = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 2, 3), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(8, 3)),
    )
    convolutions[1].running_mean.normal_()
    convolutions[1].running_var.uniform_(0.5, 2)
    signal = nn.Sequential(nn.Conv1d(2, 3, 3, bias=False), nn.Flatten(), nn.Linear(12, 3))
    return {
        "convolutions": (convolutions, images),
        "signal": (signal, images[:, :, 0]),
        "attention": (Attention(), torch.tensor([[1, 0, 3], [4, 6, 0]])),
        "transformer": (
            nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True),
            torch.randn(2, 3, 4, dtype=torch.float64),
        ),
    }


@pytest.fixture(params=networks())
def network(request):
    return networks()[request.param]


def test_products_are_columns_of_the_dense_matrix(make_problem, by_products, dense_fisher, network):
    model, inputs = network
    problem = make_problem(model, Categorical())
    matrix = by_products(problem, inputs)
    torch.testing.assert_close(matrix, dense_fisher(problem, inputs), **EXACT)
    torch.testing.assert_close(matrix, matrix.T, **EXACT)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-10


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 3), nn.Linear(4, 3)

    def forward(self, left, right):
        return (self.left(left) * self.right(right)).tanh()


def test_a_model_of_several_inputs_takes_them_in_order_or_by_name(
    make_problem, by_products, dense_fisher, likelihood
):
    torch.manual_seed(0)
    problem = make_problem(TwoInputs(), likelihood)
    left, right = (torch.randn(5, width, dtype=torch.float64) for width in (2, 4))
    matrix = by_products(problem, (left, right))
    torch.testing.assert_close(matrix, dense_fisher(problem, (left, right)), **EXACT)
    torch.testing.assert_close(
        matrix, by_products(problem, {"right": right, "left": left}), **EXACT
    )
    targets = likelihood.sample(problem.model(left, right).detach())
    gradients = example_gradients(problem, ({"left": left, "right": right}, targets))
    torch.testing.assert_close(
        gradients.mean(0), loss_gradient(problem, (left, right), targets), **EXACT
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "targets"),
    [
        (Categorical(), nn.CrossEntropyLoss(), torch.tensor([0, 2, 1, 1, 0])),
        (Bernoulli(), nn.BCEWithLogitsLoss(), torch.rand(5, 3, dtype=torch.float64).round()),
        (Gaussian(0.5**0.5), nn.MSELoss(), torch.rand(5, 3, dtype=torch.float64)),
    ],
)
def test_the_referee_agrees(make_problem, by_products, small_network, ours, theirs, targets):
    problem = make_problem(small_network(), ours)
    inputs = torch.randn(5, 4, dtype=torch.float64)
    parameters = list(problem.space.of(problem.model).values())
    # The referee's losses are means over the three outputs as well.
    scale = 1 if isinstance(ours, Categorical) else 3
    identity = torch.eye(problem.space.size, dtype=torch.float64)
    referee = GGNLinearOperator(problem.model, theirs, parameters, [(inputs, targets)])
    torch.testing.assert_close(
        by_products(problem, inputs), (referee @ identity).detach() * scale, **EXACT
    )


def test_the_referee_agrees_on_the_empirical_fisher(make_problem, small_network):
    problem = make_problem(small_network(), Categorical())
    inputs, targets = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    parameters = list(problem.space.of(problem.model).values())
    referee = EFLinearOperator(
        problem.model, nn.CrossEntropyLoss(), parameters, [(inputs, targets)]
    )
    vector = torch.randn(problem.space.size, dtype=torch.float64)
    expected = (referee @ vector).detach()
    torch.testing.assert_close(empirical_product(problem, inputs, targets, vector), expected)
    gradients = example_gradients(problem, (inputs, targets))
    torch.testing.assert_close(gradients.T @ (gradients @ vector) / 5, expected)


def test_sampled_products_average_to_the_exact_one(make_problem, small_network, likelihood):
    problem = make_problem(small_network(), likelihood)
    inputs = torch.randn(4, 4, dtype=torch.float64)
    vector = torch.randn(problem.space.size, dtype=torch.float64)
    # Many copies of an example are many draws of its target.
    drawn = sampled_product(problem, inputs.repeat(5000, 1), vector, problem.generator())
    exact = fisher_product(problem, inputs, vector)
    assert (drawn - exact).norm() < 0.05 * exact.norm()
    again = sampled_product(problem, inputs.repeat(5000, 1), vector, problem.generator())
    assert torch.equal(drawn, again)


def test_drawn_gradients_have_the_fisher_matrix_for_second_moment(
    make_problem, by_products, small_network, likelihood
):
    problem = make_problem(small_network(), likelihood)
    inputs = torch.randn(4, 4, dtype=torch.float64)
    generator = problem.generator()
    gradients = torch.stack([drawn_gradient(problem, inputs, generator) for _ in range(1500)])
    exact = by_products(problem, inputs)
    assert (gradients.T @ gradients / 1500 - exact).norm() < 0.1 * exact.norm()


def test_gradients_are_autograds(make_problem, network):
    model, inputs = network
    problem = make_problem(model, Categorical())
    outputs = model(inputs)
    targets = Categorical().sample(outputs)
    model.zero_grad()
    nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten()).backward()
    expected = problem.space.flatten(
        {name: weight.grad for name, weight in problem.space.of(model).items()}
    )
    torch.testing.assert_close(loss_gradient(problem, inputs, targets), expected, **EXACT)
    gradients = example_gradients(problem, (inputs, targets))
    torch.testing.assert_close(gradients.mean(0), expected, **EXACT)


def test_means_over_batches_count_every_example_once(uneven):
    problem, inputs, _, loader = uneven
    vector = torch.randn(problem.space.size, dtype=torch.float64)
    torch.testing.assert_close(
        mean_product(problem, loader, vector), fisher_product(problem, inputs, vector)
    )
    torch.testing.assert_close(
        mean_product(problem, loader, vector, num_batches=1),
        fisher_product(problem, inputs[:5], vector),
    )


def test_the_model_is_left_as_it_was(make_problem, small_network, likelihood):
    problem = make_problem(small_network(), likelihood)
    before = problem.space.read(problem.model)
    fisher_product(problem, torch.randn(5, 4, dtype=torch.float64), before)
    assert torch.equal(problem.space.read(problem.model), before)
    assert all(weight.grad is None for weight in problem.model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_come_out_near_the_double_one(make_problem, small_network, dtype):
    exact = make_problem(small_network(), Categorical())
    inputs = torch.randn(5, 4, dtype=torch.float64)
    vector = torch.randn(exact.space.size, dtype=torch.float64)
    expected = fisher_product(exact, inputs, vector)
    model = small_network().to(dtype).eval()
    problem = Problem(model, Categorical(), collect_parameters(model))
    product = fisher_product(problem, inputs.to(dtype), vector.to(problem.space.dtype))
    assert product.dtype is torch.float32
    near = 1e-5 if dtype is torch.float32 else 0.05
    assert (product.double() - expected).norm() < near * expected.norm()


def test_what_is_not_finite_is_refused(make_problem, small_network, likelihood):
    problem = make_problem(small_network(), likelihood)
    inputs = torch.full((2, 4), float("nan"), dtype=torch.float64)
    vector = torch.ones(problem.space.size, dtype=torch.float64)
    if not isinstance(likelihood, Gaussian):
        with pytest.raises(DivergedError, match="not finite"):
            fisher_product(problem, inputs, vector)
    with pytest.raises(DivergedError, match="the loss is not finite"):
        targets = torch.zeros(2, dtype=torch.int64)
        loss_gradient(make_problem(small_network(), Categorical()), inputs, targets)


def test_a_loader_that_runs_dry_is_named(make_problem, small_network):
    problem = make_problem(small_network(), Categorical())
    batch = (torch.randn(2, 4, dtype=torch.float64), torch.tensor([0, 1]))
    vector = torch.ones(problem.space.size, dtype=torch.float64)
    with pytest.raises(ExhaustedLoaderError, match="after 1 of 2"):
        mean_product(problem, [batch], vector, num_batches=2)
    once = cycle(one for one in [batch])
    next(once)
    with pytest.raises(ExhaustedLoaderError, match="gone through again"):
        next(once)
    again = cycle([batch])
    assert next(again) is next(again)


def test_parameters_outside_the_space_are_constants(make_problem, small_network):
    """Nothing that is found holds on to a graph, and to a batch's activations with it."""
    problem = make_problem(small_network(), Categorical(), exclude=("*.bias",))
    inputs = torch.randn(6, 4, dtype=torch.float64)
    targets = torch.zeros(len(inputs), dtype=torch.int64)
    vector = torch.ones(problem.space.size, dtype=torch.float64)
    found = [
        problem.outputs({}, inputs),
        fisher_product(problem, inputs, vector),
        empirical_product(problem, inputs, targets, vector),
        sampled_product(problem, inputs, vector),
        loss_gradient(problem, inputs, targets),
        drawn_gradient(problem, inputs),
        example_gradients(problem, (inputs, targets)),
    ]
    assert not any(each.requires_grad for each in found)
