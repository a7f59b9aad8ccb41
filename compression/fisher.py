r"""Products with the Fisher information matrix, batch by batch, without ever forming it.

For the mean loss over the examples of a batch, with outputs `f(w)` and their Jacobian `J`, the
Fisher matrix is `F = 1/B sum_n J_n' H_n J_n`, `H_n` the Hessian of the negative log-likelihood in
the outputs of example `n`; for these likelihoods it is the generalised Gauss-Newton matrix too.
The exact product takes one forward pass, which carries the derivative along the vector, and one
backward pass through it. The two usual stand-ins replace `H_n` by `s_n s_n'`, where `s_n` is the
gradient of the loss in the outputs: at targets drawn from the model (unbiased), or at the true
targets (the empirical Fisher, which is not the Fisher matrix).
"""

import math
from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Generator, Tensor
from torch.func import grad, jvp, vjp, vmap

from compression.errors import DivergedError
from compression.problem import Batch, Bundle, Inputs, Loader, Problem, Tensors, batches

Metric = Callable[[Tensor, Tensor], Tensor]
"""Product of each example's curvature in the outputs with a vector, from outputs and vectors."""

Weights: TypeAlias = dict[str, Tensor]
"""Values of the covered parameters, by name."""

Pullback: TypeAlias = Callable[[Tensor], tuple[Weights]]
"""Product with a transposed Jacobian."""


def fisher_product(problem: Problem, inputs: Inputs, vector: Tensor) -> Tensor:
    """Exact product of a batch's Fisher matrix with a vector.

    Args:
        problem: Model, likelihood and weights.
        inputs: Of the batch.
        vector: Shape `(size,)`.

    Returns:
        `F vector` for the mean over the batch, without damping, shape `(size,)`.

    Raises:
        DivergedError: It is not finite.
    """
    return _product(problem, inputs, vector, problem.likelihood.hessian_product)[0]


def sampled_product(
    problem: Problem, inputs: Inputs, vector: Tensor, generator: Generator | None = None
) -> Tensor:
    """Product with the Fisher matrix as estimated by one drawn target for each example.

    Args:
        problem: Model, likelihood and weights.
        inputs: Of the batch.
        vector: Shape `(size,)`.
        generator: Of the targets that are drawn.

    Returns:
        `1/B sum_n g_n g_n' vector`, `g_n` the gradient of an example at its drawn target, shape
        `(size,)`; its mean over draws is `fisher_product`.

    Raises:
        DivergedError: It is not finite.
    """
    likelihood = problem.likelihood

    def metric(outputs: Tensor, tangents: Tensor) -> Tensor:
        require_finite(outputs, "an output")
        return _score_product(problem, outputs, likelihood.sample(outputs, generator), tangents)

    return _product(problem, inputs, vector, metric)[0]


def empirical_product(problem: Problem, inputs: Inputs, targets: Tensor, vector: Tensor) -> Tensor:
    """Product with the empirical Fisher matrix, from gradients at the true targets.

    Args:
        problem: Model, likelihood and weights.
        inputs: Of the batch.
        targets: Of the batch.
        vector: Shape `(size,)`.

    Returns:
        `1/B sum_n g_n g_n' vector`, `g_n` the gradient of an example, shape `(size,)`.

    Raises:
        DivergedError: It is not finite.
    """

    def metric(outputs: Tensor, tangents: Tensor) -> Tensor:
        return _score_product(problem, outputs, targets, tangents)

    return _product(problem, inputs, vector, metric)[0]


def mean_product(
    problem: Problem, loader: Loader, vector: Tensor, num_batches: int | None = None
) -> Tensor:
    """Exact Fisher product over several batches, each counted by its number of examples.

    Args:
        problem: Model, likelihood and weights.
        loader: Of batches.
        vector: Shape `(size,)`.
        num_batches: How many batches; None for one whole pass.

    Returns:
        `F vector`, without damping, shape `(size,)`.

    Raises:
        ExhaustedLoaderError: The loader gives too few batches.
        DivergedError: The product is not finite.
    """
    total, num_examples = torch.zeros_like(vector), 0
    for batch in batches(loader, num_batches):
        inputs, _ = problem.to_device(batch)
        product, number = _product(problem, inputs, vector, problem.likelihood.hessian_product)
        total += product * number
        num_examples += number
    return total / num_examples


def loss_gradient(problem: Problem, inputs: Inputs, targets: Tensor) -> Tensor:
    """Gradient of a batch's mean negative log-likelihood, shape `(size,)`.

    Raises:
        DivergedError: The loss is not finite.
    """
    return _gradient(problem, inputs, targets)[0]


def drawn_gradient(problem: Problem, inputs: Inputs, generator: Generator | None = None) -> Tensor:
    """A vector whose outer product has the batch's Fisher matrix for its mean.

    It is the gradient of the mean loss at targets drawn from the model, times the root of the
    number of examples: a mean over n independent gradients has an nth of one's second moment.

    Args:
        problem: Model, likelihood and weights.
        inputs: Of the batch.
        generator: Of the targets that are drawn.

    Returns:
        Shape `(size,)`.

    Raises:
        DivergedError: An output is not finite.
    """
    likelihood = problem.likelihood

    def loss(values: Weights) -> tuple[Tensor, Tensor]:
        outputs = problem.outputs(values, inputs)
        fixed = require_finite(outputs.detach(), "an output")
        return likelihood.nll(outputs, likelihood.sample(fixed, generator)), outputs

    value, pullback, outputs = cast(
        tuple[Tensor, Pullback, Tensor], vjp(loss, _weights(problem), has_aux=True)
    )
    gradient = problem.space.flatten(pullback(torch.ones_like(value))[0])
    return gradient * math.sqrt(likelihood.num_examples(outputs))


def example_gradients(problem: Problem, batch: Batch) -> Tensor:
    """Gradient of each example's negative log-likelihood.

    The model is mapped over the examples, so none may look at another's inputs.

    Args:
        problem: Model, likelihood and weights.
        batch: Inputs and targets, examples along the first dimension of all tensors.

    Returns:
        Shape `(batch, size)`.

    Raises:
        DivergedError: A gradient is not finite.
        TypeError: The inputs are a bundle, whose examples may look at each other.
    """

    def loss(values: Weights, inputs: Tensors, target: Tensor) -> Tensor:
        outputs = problem.outputs(values, _map_inputs(inputs, lambda one: one.unsqueeze(0)))
        return problem.likelihood.nll(outputs, target.unsqueeze(0))

    inputs, targets = problem.to_device(batch)
    if isinstance(inputs, Bundle):
        raise TypeError("examples of a bundle have no gradients of their own; take its pieces")
    gradients = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")(
        _weights(problem), inputs, targets
    )
    rows = [gradients[slot.name].flatten(start_dim=1) for slot in problem.space.slots]
    return require_finite(
        torch.cat([row.to(problem.space.device, problem.space.dtype) for row in rows], dim=1),
        "a gradient",
    )


def _map_inputs(inputs: Tensors, change: Callable[[Tensor], Tensor]) -> Tensors:
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, dict):
        return {name: change(value) for name, value in inputs.items()}
    return tuple(change(value) for value in inputs)  # type: ignore[arg-type]


def _product(
    problem: Problem, inputs: Inputs, vector: Tensor, metric: Metric
) -> tuple[Tensor, int]:
    """`1/B sum_n J_n' metric_n(J_n vector)` and `B`: both derivatives share one forward pass."""
    space = problem.space
    parameters = _weights(problem)
    if space.constant is not None:
        # Forward mode would see padding rows, backward mode does not.
        vector = vector.masked_fill(space.constant, 0)
    tangents = space.values(vector, problem.model)

    def forward(values: Weights) -> tuple[Tensor, Tensor]:
        derivative = jvp(lambda inner: problem.outputs(inner, inputs), (values,), (tangents,))
        return cast(tuple[Tensor, Tensor], derivative)

    outputs, pullback, change = cast(
        tuple[Tensor, Pullback, Tensor], vjp(forward, parameters, has_aux=True)
    )
    number = problem.likelihood.num_examples(outputs)
    with torch.no_grad():
        bent = metric(outputs, change) / number
    require_finite(bent, "the curvature of the outputs")
    return space.flatten(pullback(bent)[0]), number


def _gradient(problem: Problem, inputs: Inputs, targets: Tensor) -> tuple[Tensor, int]:
    """Gradient of the mean loss over a batch, and its number of examples."""

    def loss(values: Weights) -> tuple[Tensor, Tensor]:
        outputs = problem.outputs(values, inputs)
        return problem.likelihood.nll(outputs, targets), outputs

    value, pullback, outputs = cast(
        tuple[Tensor, Pullback, Tensor], vjp(loss, _weights(problem), has_aux=True)
    )
    require_finite(value, "the loss")
    gradient = problem.space.flatten(pullback(torch.ones_like(value))[0])
    return gradient, problem.likelihood.num_examples(outputs)


def _weights(problem: Problem) -> Weights:
    return {name: weight.detach() for name, weight in problem.space.of(problem.model).items()}


def _score_product(problem: Problem, outputs: Tensor, targets: Tensor, tangents: Tensor) -> Tensor:
    """`s_n (s_n' tangent_n)`, `s_n` the gradient of an example's loss in its outputs."""
    likelihood = problem.likelihood
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        (score,) = torch.autograd.grad(likelihood.row_losses(leaf, targets).sum(), leaf)
    along = (likelihood.rows(score) * likelihood.rows(tangents)).sum(dim=-1, keepdim=True)
    return (likelihood.rows(score) * along).reshape(outputs.shape)


def require_finite(values: Tensor, what: str) -> Tensor:
    """The values.

    Args:
        values: Of any shape.
        what: They are, for the error.

    Raises:
        DivergedError: One is not finite.
    """
    if not bool(values.isfinite().all()):
        raise DivergedError(
            f"{what} is not finite: look for NaN in the inputs, the targets or the weights"
        )
    return values
