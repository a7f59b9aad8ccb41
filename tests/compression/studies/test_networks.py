import pytest
import torch

from compression.studies.networks import MLPNet, ResNet18


def number_of_weights(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_mlpnet_has_the_published_size():
    network = MLPNet()
    assert number_of_weights(network) == 784 * 40 + 40 * 20 + 20 * 10 == 32360
    assert network(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_resnet18_has_the_size_of_the_cifar_form():
    network = ResNet18()
    assert number_of_weights(network) == 11_173_962
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 20


def test_resnet18_sees_a_picture_of_32_pixels_at_4():
    network = ResNet18(num_classes=7, width=8).eval()
    images = torch.randn(2, 3, 32, 32)
    assert network.stages(torch.zeros(1, 8, 32, 32)).shape == (1, 64, 4, 4)
    assert network(images).shape == (2, 7)


def test_a_block_without_residual_is_its_shortcut():
    network = ResNet18(width=8).eval()
    block = network.stages[0][0]
    torch.nn.init.zeros_(block.bn2.weight)
    features = torch.rand(2, 8, 8, 8)
    assert torch.equal(block(features), features)


def test_a_width_that_crashes_some_processors_is_refused():
    with pytest.raises(ValueError, match="8 or more, not 7"):
        ResNet18(width=7)
