"""Cut samples into the three parts of a study."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from data.validation import Fault, InputError
from gn_study.studies.study_data import Part, StudyData
from pipelines.gauss_newton_study.data_options import DataOptions


def cut(options: DataOptions, inputs: Tensor, targets: Tensor, num_outputs: int) -> StudyData:
    """Draw the three parts from one table of samples.

    Args:
        options: How many of each; all that are left are trained on where no number is given.
        inputs: `(num_samples, width)`.
        targets: Of each sample.
        num_outputs: Classes or regressed values.

    Raises:
        InputError: There are too few samples.
    """
    held = options.validation + (options.test or 0)
    wanted = held + (options.train or 1)
    if len(inputs) < wanted or options.test is None:
        message = f"{wanted:,} samples are wanted of {len(inputs):,}"
        raise InputError([Fault(options.name, message, "Choose a smaller study")])
    order = _order(len(inputs), options.seed)
    test, validation, train = (
        order[: options.test],
        order[options.test : held],
        order[held : None if options.train is None else held + options.train],
    )
    return StudyData(
        options.title,
        train=Part(inputs[train], targets[train]),
        validation=Part(inputs[validation], targets[validation]),
        test=Part(inputs[test], targets[test]),
        num_outputs=num_outputs,
    )


def drawn(number: int | None, available: int, options: DataOptions, what: str) -> Tensor:
    """Rows drawn from those of one part.

    Args:
        number: How many; None: all, in a drawn order.
        available: How many there are.
        options: Whose seed is used.
        what: What the rows are, for an error.

    Raises:
        InputError: There are too few.
    """
    if number is not None and number > available:
        message = f"{number:,} samples of the {what} part are wanted of {available:,}"
        raise InputError([Fault(options.name, message, "Choose a smaller study")])
    return _order(available, options.seed)[:number]


def with_label_noise(data: StudyData, options: DataOptions) -> StudyData:
    """The data with a share of the training labels drawn anew from all classes alike.

    Args:
        data: With class numbers as targets.
        options: The share, and the seed of what is drawn.
    """
    if not options.label_noise:
        return data
    rng = np.random.default_rng(options.seed)
    targets = data.train.targets.clone()
    chosen = torch.from_numpy(rng.random(len(targets)) < options.label_noise)
    anew = torch.from_numpy(rng.integers(0, data.num_outputs, len(targets)))
    targets[chosen] = anew[chosen]
    return replace(data, train=Part(data.train.inputs, targets))


def standardised(data: StudyData, targets: bool) -> StudyData:
    """Columns with mean 0 and variance 1 over the training part; constant columns become 0.

    Args:
        data: Any.
        targets: Whether the targets are standardised, too.
    """
    scale_inputs = _standardiser(data.train.inputs)
    scale_targets = _standardiser(data.train.targets) if targets else lambda values: values

    def scaled(part: Part) -> Part:
        return Part(scale_inputs(part.inputs), scale_targets(part.targets))

    return replace(
        data,
        train=scaled(data.train),
        validation=scaled(data.validation),
        test=scaled(data.test),
    )


def _standardiser(values: Tensor) -> Callable[[Tensor], Tensor]:
    mean, deviation = values.mean(dim=0), values.std(dim=0)
    deviation = torch.where(deviation > 0, deviation, torch.inf)
    return lambda part: (part - mean) / deviation


def _order(number: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).permutation(number))
