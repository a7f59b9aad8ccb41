"""Synthetic data that a random network labels: a task whose difficulty is known to be learnable."""

import torch

from gn_study.studies.seeds import generator
from gn_study.studies.study_data import Part, StudyData


def teacher_data(
    width: int,
    hidden: int,
    num_classes: int,
    sizes: tuple[int, int, int],
    seed: int,
) -> StudyData:
    """Gaussian inputs and the largest output of a random one-hidden-layer ReLU network.

    The outputs are centred over the drawn samples, so that classes are about equally frequent.

    Args:
        width: Columns of the inputs, even.
        hidden: Hidden units of the teacher.
        num_classes: Its outputs.
        sizes: Samples of the training, validation and test part.
        seed: Of the teacher and the samples.
    """
    draws = generator(seed)
    inputs = torch.randn(sum(sizes), width, generator=draws)
    into_hidden = torch.randn(width, hidden, generator=draws) / width**0.5
    into_outputs = torch.randn(hidden, num_classes, generator=draws) / hidden**0.5
    outputs = (inputs @ into_hidden).relu() @ into_outputs
    targets = (outputs - outputs.mean(dim=0)).argmax(dim=1)
    places = torch.split(torch.arange(sum(sizes)), list(sizes))
    train, validation, test = (Part(inputs[rows], targets[rows]) for rows in places)
    return StudyData("teacher (synthetic)", train, validation, test, num_classes)
