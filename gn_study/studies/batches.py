"""Batches of a training part, in an order of their own for each epoch."""

import math
from collections.abc import Iterator
from itertools import chain, pairwise, repeat

import torch
from torch import Tensor

from gn_study.studies.augmentation import random_resized_crop
from gn_study.studies.study_data import Part, StudyData


def batches_per_epoch(num_samples: int, batch_size: int | None) -> int:
    """Updates of an epoch; the last batch may be smaller than the others."""
    return 1 if batch_size is None else math.ceil(num_samples / batch_size)


def batch_pairs(
    data: StudyData,
    batch_size: int | None,
    order: torch.Generator,
    augmentation: torch.Generator | None,
) -> Iterator[tuple[Part, Part | None]]:
    """Each batch with the one after it, without end; every epoch visits every sample once.

    Args:
        data: Whose training part is cut into batches.
        batch_size: Samples of a batch; None: all, in one order, and no other batch beside it.
        order: Of the samples.
        augmentation: Of random crops, for images; None: images stay as they are.
    """
    if batch_size is None:
        yield from repeat((data.train, None))
        return
    batches = chain.from_iterable(
        _epoch(data, batch_size, order, augmentation) for _ in repeat(None)
    )
    yield from pairwise(batches)


def _epoch(
    data: StudyData,
    batch_size: int,
    order: torch.Generator,
    augmentation: torch.Generator | None,
) -> Iterator[Part]:
    permutation = torch.randperm(len(data.train), generator=order)
    for rows in torch.split(permutation.to(data.train.inputs.device), batch_size):
        inputs = data.train.inputs[rows]
        if augmentation is not None:
            inputs = _cropped(inputs, data, augmentation)
        yield Part(inputs, data.train.targets[rows])


def _cropped(inputs: Tensor, data: StudyData, augmentation: torch.Generator) -> Tensor:
    if data.image_shape is None:
        raise ValueError(f"{data.name} has no images to crop")
    return random_resized_crop(inputs, data.image_shape, augmentation)
