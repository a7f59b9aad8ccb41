"""The published MLPNet and its anchor figures, on the real MNIST."""

import os
from pathlib import Path

import pytest
import torch

from compression.studies.checkpoints import load_mlpnet
from compression.studies.evaluation import evaluate
from compression.studies.networks import MLPNet
from compression.studies.pictures import MNIST_DEVIATION, MNIST_MEAN, LabelledImages
from data.images import read_images

SHARED = os.environ.get("RETURNS_SHARED_DATA")
real = pytest.mark.skipif(SHARED is None, reason="RETURNS_SHARED_DATA, real data, is not set")


@pytest.fixture(scope="module")
def test_images():
    images = read_images(Path(SHARED) / "images", "mnist")
    pixels, labels = torch.from_numpy(images.test_images), torch.from_numpy(images.test_labels)
    return LabelledImages(pixels, labels, MNIST_MEAN, MNIST_DEVIATION)


@pytest.fixture
def network():
    return load_mlpnet(Path(SHARED) / "checkpoints" / "mlpnet_mnist_93.97.ckpt")


@real
def test_the_dense_network_has_its_published_accuracy(network, test_images):
    assert evaluate(network, test_images).accuracy == pytest.approx(0.9397, abs=5e-5)
    assert not network.training


@real
@pytest.mark.parametrize(
    ("sparsity", "accuracy"), [(0.5, 0.9393), (0.8, 0.9288), (0.9, 0.9028), (0.95, 0.8364)]
)
def test_global_magnitude_has_its_published_accuracy(network, test_images, sparsity, accuracy):
    weights = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    removed = weights.abs().argsort()[: round(sparsity * len(weights))]
    weights[removed] = 0
    torch.nn.utils.vector_to_parameters(weights, network.parameters())
    assert evaluate(network, test_images).accuracy == pytest.approx(accuracy, abs=1.5e-4)


@pytest.mark.parametrize("content", [{}, {"model_state_dict": {}}, {"model_state_dict": 3}])
def test_another_file_is_refused_by_name(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other\.ckpt is no checkpoint"):
        load_mlpnet(tmp_path / "other.ckpt")


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", bytes(range(256)), b"PK\x03\x04"])
def test_bytes_of_any_other_kind_are_refused_by_name(tmp_path, content):
    (tmp_path / "other.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.ckpt is no checkpoint"):
        load_mlpnet(tmp_path / "other.ckpt")


def test_a_file_that_is_not_there_is_no_wrong_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_mlpnet(tmp_path / "none.ckpt")


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch.save({"model_state_dict": MLPNet()}, tmp_path / "code.ckpt")
    with pytest.raises(ValueError, match="no checkpoint"):
        load_mlpnet(tmp_path / "code.ckpt")
