import math

import pytest
import torch
from torch import nn

from compression.studies.evaluation import evaluate
from compression.studies.networks import ResNet18
from compression.studies.pictures import CIFAR10_DEVIATION, CIFAR10_MEAN, LabelledImages
from compression.studies.precision import computes_in_bfloat16


class FirstPixel(nn.Module):
    """Gives class 1 the logit of the first pixel, class 0 none."""

    def forward(self, inputs):
        first = inputs[:, 0, 0, 0]
        return torch.stack((torch.zeros_like(first), first), dim=1)


def test_accuracy_and_cross_entropy_are_those_of_the_formula():
    pixels = torch.tensor([0, 255, 255, 0, 255], dtype=torch.uint8).view(5, 1, 1, 1)
    images = LabelledImages(pixels, torch.tensor([0, 1, 0, 1, 1]), (0.5,), (0.25,))
    quality = evaluate(FirstPixel(), images, batch_size=2)
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert quality.accuracy == 0.6
    assert quality.cross_entropy == pytest.approx((3 * right + 2 * wrong) / 5, rel=1e-6)


def test_the_network_is_scored_in_evaluation_mode_and_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, 2)).train()
    images = LabelledImages(
        torch.arange(40, dtype=torch.uint8).view(10, 1, 2, 2), torch.arange(10) % 2, (0,), (1,)
    )
    whole, parts = evaluate(network, images), evaluate(network, images, batch_size=3)
    assert whole.cross_entropy == pytest.approx(parts.cross_entropy, rel=1e-5)
    assert network.training


def test_low_precision_differs_by_rounding_alone():
    torch.manual_seed(0)
    pixels = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8)
    images = LabelledImages(pixels, torch.arange(40) % 10, CIFAR10_MEAN, CIFAR10_DEVIATION)
    network = ResNet18(width=8).eval()
    exact, rounded = (evaluate(network, images, low_precision=low) for low in (False, True))
    assert rounded.cross_entropy == pytest.approx(exact.cross_entropy, rel=0.02)
    is_low = computes_in_bfloat16(torch.device("cpu"))
    assert (rounded.cross_entropy != exact.cross_entropy) == is_low
