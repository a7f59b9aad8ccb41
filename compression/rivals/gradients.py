"""Gradients of the loss at the true targets, one a row, of single examples or small groups."""

from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from compression.errors import ExhaustedLoaderError
from compression.fisher import example_gradients, loss_gradient
from compression.problem import Batch, Bundle, Loader, Problem, Tensors, batches


def gradient_rows(problem: Problem, loader: Loader, number: int, group: int) -> Iterator[Tensor]:
    """Gradients over one pass of a loader, some rows at a time, so that no more are held.

    The mean over a group of examples stands for one gradient in WoodFisher, M-FAC and CHITA. For
    groups of `b`, the mean of their outer products is about `1/b` of the empirical Fisher matrix,
    so the same damping weighs `b` times as much.

    Args:
        problem: Model, likelihood and weights.
        loader: Of batches; what a batch has beyond whole groups is left out.
        number: How many gradients.
        group: Examples whose mean gradient is one row.

    Yields:
        Gradients `(rows, size)`, `number` rows in all.

    Raises:
        ExhaustedLoaderError: The loader gives too few groups in one pass.
        DivergedError: A gradient is not finite.
    """
    count = 0
    for batch in batches(loader):
        missing = number - count
        if missing == 0:
            return
        rows = _rows(problem, batch, group, missing)
        count += len(rows)
        if len(rows):
            yield rows
    if count < number:
        raise ExhaustedLoaderError(
            f"one pass of the loader gives {count} of {number} gradients of {group} examples; "
            "give more data, or ask for fewer gradients or smaller groups; a batch must hold a "
            "whole group"
        )


def gradient_matrix(problem: Problem, loader: Loader, number: int, group: int) -> Tensor:
    """The same gradients at once, shape `(number, size)`."""
    space = problem.space
    matrix = torch.empty(number, space.size, dtype=space.dtype, device=space.device)
    first = 0
    for rows in gradient_rows(problem, loader, number, group):
        matrix[first : first + len(rows)] = rows
        first += len(rows)
    return matrix


def _rows(problem: Problem, batch: Batch, group: int, most: int) -> Tensor:
    """Gradients of the whole groups of a batch, at most so many."""
    inputs, targets = problem.to_device(batch)
    if isinstance(inputs, Bundle):
        pieces = islice(inputs.pieces(group), most)
        return _stacked(problem, [loss_gradient(problem, part, targets[at]) for part, at in pieces])
    number = min(most, len(targets) // group)
    if group == 1:
        return example_gradients(problem, (_part(inputs, 0, number), targets[:number]))
    gradients = [
        loss_gradient(problem, _part(inputs, first, group), targets[first : first + group])
        for first in range(0, number * group, group)
    ]
    return _stacked(problem, gradients)


def _stacked(problem: Problem, gradients: list[Tensor]) -> Tensor:
    return torch.stack(gradients) if gradients else torch.empty(0, problem.space.size)


def _part(inputs: Tensors, first: int, number: int) -> Tensors:
    rows = slice(first, first + number)
    if isinstance(inputs, Tensor):
        return inputs[rows]
    if isinstance(inputs, Mapping):
        return {name: values[rows] for name, values in inputs.items()}
    return tuple(values[rows] for values in inputs)
