"""Dense Jacobians and Gauss-Newton steps: a reference for networks that are small enough."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call, jacrev

from gn_study.reversible_network import ReversibleNetwork


def dense_jacobian(model: ReversibleNetwork, inputs: Tensor) -> Tensor:
    """Jacobian of the outputs with respect to the trained parameters.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.

    Returns:
        `(num_samples * num_outputs, num_parameters)`; rows sample by sample, columns in the order
        of `model.trained_parameters()`.
    """

    def outputs(trained: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(model, trained, (inputs,))
        return found

    trained = {name: value.detach() for name, value in model.trained_parameters().items()}
    jacobians = jacrev(outputs)(trained)
    rows = len(inputs) * model.num_outputs
    return torch.cat([jacobians[name].reshape(rows, -1) for name in trained], dim=1)


def dense_direction(model: ReversibleNetwork, inputs: Tensor, error: Tensor) -> dict[str, Tensor]:
    """The Moore-Penrose Gauss-Newton direction `J^+ error` from the dense Jacobian.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.
        error: `(num_samples, num_outputs)`.

    Returns:
        For each trained parameter a tensor of its shape.
    """
    return unflatten(model, torch.linalg.pinv(dense_jacobian(model, inputs)) @ error.flatten())


def flatten(model: ReversibleNetwork, direction: Mapping[str, Tensor]) -> Tensor:
    """A direction as one vector, `(num_parameters,)`, in the order of the Jacobian's columns."""
    return torch.cat([direction[name].flatten() for name in model.trained_parameters()])


def unflatten(model: ReversibleNetwork, vector: Tensor) -> dict[str, Tensor]:
    """The direction that `flatten` made a vector, `(num_parameters,)`, of."""
    direction, start = {}, 0
    for name, parameter in model.trained_parameters().items():
        direction[name] = vector[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    return direction
