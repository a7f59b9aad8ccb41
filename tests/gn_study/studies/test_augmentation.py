"""Random crops against what resampling by definition gives."""

import torch

from gn_study.studies.augmentation import random_resized_crop
from gn_study.studies.seeds import generator


def ramps(number: int, side: int) -> torch.Tensor:
    """Images whose first channel is the pixel's column and whose second is its row."""
    place = torch.arange(float(side))
    across, down = place.expand(side, side), place[:, None].expand(side, side)
    return torch.stack([across, down]).flatten().repeat(number, 1)


def test_a_crop_of_a_ramp_is_a_ramp_within_the_image() -> None:
    side = 12
    crops = random_resized_crop(ramps(200, side), (2, side, side), generator(0))
    across, down = crops.reshape(200, 2, side, side).unbind(1)
    assert across.min() >= 0 and across.max() <= side - 1
    # Rows of the crop see the same columns, and its columns the same rows.
    torch.testing.assert_close(across, across[:, :1].expand_as(across), rtol=0, atol=1e-4)
    torch.testing.assert_close(down, down[:, :, :1].expand_as(down), rtol=0, atol=1e-4)
    step = across[:, 0].diff(dim=1)[:, 4:-4]
    torch.testing.assert_close(step, step[:, :1].expand_as(step), rtol=0, atol=1e-3)


def test_crops_keep_between_a_twelfth_and_all_of_the_area() -> None:
    side = 32
    crops = random_resized_crop(ramps(2000, side), (2, side, side), generator(1))
    across, down = crops.reshape(2000, 2, side, side).unbind(1)
    width = across[:, 0].diff(dim=1)[:, side // 2]
    height = down[:, :, 0].diff(dim=1)[:, side // 2]
    area = width * height
    assert area.min() > 0.07 and area.max() < 1.001
    assert abs(float(area.mean()) - 0.54) < 0.03
    assert (width / height).max() < 4 / 3 + 1e-3


def test_crops_repeat_with_their_seed() -> None:
    rows = torch.randn(5, 3 * 8 * 8, generator=generator(2))
    first, again = (random_resized_crop(rows, (3, 8, 8), generator(3)) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, rows)
