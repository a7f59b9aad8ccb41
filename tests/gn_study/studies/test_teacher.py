"""The generated task: repeatable, balanced, and learnable from its own definition."""

import torch

from gn_study.studies.teacher import teacher_data


def test_sizes_seed_and_balance() -> None:
    data = teacher_data(20, 30, 5, (3000, 200, 100), seed=1)
    assert [len(part) for part in data.parts.values()] == [3000, 200, 100]
    shares = torch.bincount(data.train.targets, minlength=5) / 3000
    assert shares.min() > 0.08 and shares.max() < 0.4
    again = teacher_data(20, 30, 5, (3000, 200, 100), seed=1)
    assert torch.equal(data.test.inputs, again.test.inputs)
    assert not torch.equal(
        data.test.inputs, teacher_data(20, 30, 5, (3000, 200, 100), seed=2).test.inputs
    )


def test_labels_depend_on_the_inputs() -> None:
    """Nearest neighbours agree far more often than chance in few dimensions."""
    data = teacher_data(2, 16, 3, (2000, 1, 500), seed=0)
    nearest = torch.cdist(data.test.inputs, data.train.inputs).argmin(dim=1)
    agreement = (data.train.targets[nearest] == data.test.targets).float().mean()
    assert agreement > 0.85
