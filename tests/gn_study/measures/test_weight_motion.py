"""Weight motion of tensors moved in known ways."""

import math
from collections.abc import Callable

import pytest
import torch

from gn_study.measures.weight_motion import overall_motion, weight_motion


def test_scaled_turned_and_shifted_tensors() -> None:
    initial = {"scaled": torch.tensor([[3.0, 4.0]]), "turned": torch.tensor([1.0, 0.0])}
    current = {"scaled": torch.tensor([[6.0, 8.0]]), "turned": torch.tensor([0.0, 1.0])}
    motion = weight_motion(initial, current)
    scaled, turned = motion["scaled"], motion["turned"]
    assert (scaled.norm_ratio, scaled.cosine, scaled.relative) == pytest.approx((2, 1, 1))
    assert (turned.norm_ratio, turned.cosine, turned.relative) == pytest.approx((1, 0, 2**0.5))


def test_overall_motion_is_that_of_all_numbers_in_one_vector() -> None:
    initial = {"first": torch.tensor([[3.0]]), "second": torch.tensor([0.0, 4.0])}
    current = {"second": torch.tensor([4.0, 0.0]), "first": torch.tensor([[3.0]])}
    motion = overall_motion(initial, current)
    assert (motion.norm_ratio, motion.cosine) == pytest.approx((1, 9 / 25))
    assert motion.relative == pytest.approx(32**0.5 / 5)


def test_tensors_that_began_at_zero_have_no_direction() -> None:
    motion = weight_motion({"bias": torch.zeros(2)}, {"bias": torch.ones(2)})["bias"]
    assert math.isnan(motion.cosine)
    assert math.isinf(motion.relative)


@pytest.mark.parametrize("measure", [weight_motion, overall_motion])
def test_other_names_are_refused(measure: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="other names"):
        measure({"a": torch.ones(1)}, {"b": torch.ones(1)})
