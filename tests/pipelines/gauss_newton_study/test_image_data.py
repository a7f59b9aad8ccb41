"""Images as rows: drawn apart, pooled, normalised."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.images import Images, read_images
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.image_data import image_data

OPTIONS = DataOptions("cifar10", 6, 3, 4)


@pytest.fixture
def images() -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (14, 3, 4, 4), dtype=np.uint8)
    labels = rng.integers(0, 10, 14)
    labels[0] = 9
    return Images("cifar10", pixels[:10], labels[:10], pixels[10:], labels[10:])


def test_training_and_validation_images_are_disjoint_and_the_test_is_the_test(
    images: Images,
) -> None:
    data = image_data(OPTIONS, images)
    assert [len(part) for part in data.parts.values()] == [6, 3, 4]
    assert (data.width, data.num_outputs, data.image_shape) == (48, 10, (3, 4, 4))
    rows = torch.cat([data.train.inputs, data.validation.inputs])
    assert len(torch.unique(rows, dim=0)) == 9
    assert sorted(data.test.targets.tolist()) == sorted(images.test_labels.tolist())


def test_pixels_are_pooled_and_normalised_by_channel(images: Images) -> None:
    plain, pooled = (image_data(replace(OPTIONS, pooling=side), images) for side in (1, 2))
    assert pooled.image_shape == (3, 2, 2)
    mean = torch.tensor([0.4914, 0.4822, 0.4465]).reshape(3, 1, 1)
    deviation = torch.tensor([0.2470, 0.2435, 0.2616]).reshape(3, 1, 1)
    unit = plain.train.inputs[0].reshape(3, 4, 4) * deviation + mean
    assert torch.allclose((unit * 255).round() / 255, unit, atol=1e-6)
    square = unit[:, :2, :2].mean(dim=(1, 2))
    found = pooled.train.inputs[0].reshape(3, 2, 2) * deviation + mean
    torch.testing.assert_close(found[:, 0, 0], square)


def test_real_images_have_about_mean_nought_and_deviation_one() -> None:
    folder = os.environ.get("RETURNS_SHARED_DATA")
    if folder is None:
        pytest.skip("RETURNS_SHARED_DATA names no folder of real data")
    images = read_images(Path(folder) / "images", "mnist")
    data = image_data(DataOptions("mnist", 2000, 500, 500), images)
    assert (data.width, data.num_outputs) == (784, 10)
    assert abs(float(data.train.inputs.mean())) < 0.02
    assert float(data.train.inputs.std()) == pytest.approx(1, abs=0.02)
