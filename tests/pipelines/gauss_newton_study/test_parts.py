"""Parts cut from samples: disjoint, repeatable, refused where there are too few."""

from dataclasses import replace

import pytest
import torch

from data.validation import InputError
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.parts import cut, drawn, standardised, with_label_noise

OPTIONS = DataOptions("digits", 50, 20, 10)
INPUTS = torch.arange(200.0).reshape(100, 2)
CLASSES = torch.arange(100) % 4


def test_parts_are_disjoint_and_follow_the_seed() -> None:
    data = cut(OPTIONS, INPUTS, CLASSES, 4)
    rows = [set(part.inputs[:, 0].tolist()) for part in data.parts.values()]
    assert [len(found) for found in rows] == [50, 20, 10]
    assert len(set.union(*rows)) == 80
    assert torch.equal(cut(OPTIONS, INPUTS, CLASSES, 4).train.inputs, data.train.inputs)
    other = cut(replace(OPTIONS, seed=1), INPUTS, CLASSES, 4)
    assert not torch.equal(other.train.inputs, data.train.inputs)
    assert len(cut(replace(OPTIONS, train=None), INPUTS, CLASSES, 4).train) == 70


@pytest.mark.parametrize("options", [replace(OPTIONS, train=80), replace(OPTIONS, test=None)])
def test_too_few_samples_are_reported(options: DataOptions) -> None:
    with pytest.raises(InputError, match="samples are wanted of 100"):
        cut(options, INPUTS, CLASSES, 4)


def test_rows_drawn_from_a_part() -> None:
    rows = drawn(5, 9, OPTIONS, "training")
    assert len(set(rows.tolist())) == 5
    assert len(drawn(None, 9, OPTIONS, "training")) == 9
    with pytest.raises(InputError, match="10 samples of the training part are wanted of 9"):
        drawn(10, 9, OPTIONS, "training")


def test_label_noise_touches_a_share_of_the_training_labels_alone() -> None:
    clean = cut(replace(OPTIONS, train=None, validation=5, test=5), INPUTS.repeat(40, 1),
                CLASSES.repeat(40), 4)  # fmt: skip
    noisy = with_label_noise(clean, replace(OPTIONS, label_noise=0.4))
    changed = (noisy.train.targets != clean.train.targets).float().mean()
    # A fourth of the labels drawn anew are the old ones.
    assert float(changed) == pytest.approx(0.4 * 3 / 4, abs=0.03)
    assert torch.equal(noisy.test.targets, clean.test.targets)
    assert torch.equal(noisy.validation.targets, clean.validation.targets)
    assert with_label_noise(clean, OPTIONS) is clean


def test_statistics_of_the_training_part_standardise_all() -> None:
    inputs = torch.cat([INPUTS, torch.ones(100, 1)], dim=1)
    targets = INPUTS[:, :1] * 3 + 1
    data = standardised(cut(OPTIONS, inputs, targets, 1), targets=True)
    train = data.train
    torch.testing.assert_close(train.inputs.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.inputs.std(dim=0), torch.tensor([1.0, 1, 0]))
    assert data.test.inputs[:, 2].eq(0).all()
    # Inputs and targets are the same line, on every part.
    torch.testing.assert_close(data.test.targets[:, 0], data.test.inputs[:, 0])
