"""How far the paper's truncation is from exact on real images; figures of the documentation."""

import os
from pathlib import Path

import pytest
import torch

from data.images import read_images
from gn_study.direction import gn_direction
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.revmlp import RevMLP


@pytest.mark.slow
def test_one_per_cent_truncates_mnist_and_a_tenth_of_that_does_not():
    if "RETURNS_SHARED_DATA" not in os.environ:
        pytest.skip("RETURNS_SHARED_DATA, the folder of real data, is not set")
    folder = Path(os.environ["RETURNS_SHARED_DATA"]) / "images"
    images = torch.tensor(read_images(folder, "mnist").train_images[:1024])
    inputs = (images.flatten(1) / 255 - 0.1307) / 0.3081
    error = torch.randn(1024, 10, generator=torch.Generator().manual_seed(0))
    found = {
        rtol: gn_direction(
            RevMLP(784, outputs=10),
            inputs,
            error,
            pseudo_inverse=PseudoInverse(rtol=rtol),
            measure_residual=True,
        )[1]
        for rtol in (1e-2, 1e-3)
    }
    kept = {rtol: [half.kept_rank for half in by.half_layers] for rtol, by in found.items()}
    assert kept[1e-3] == [1024] * 4
    assert all(440 < rank < 480 for rank in kept[1e-2])
    assert 0.6 < found[1e-2].right_inverse_residual < 0.7
    assert found[1e-3].right_inverse_residual < 1e-3
