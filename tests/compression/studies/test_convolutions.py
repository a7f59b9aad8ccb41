import pytest
import torch
from torch import nn

from compression.studies.convolutions import Convolution, SmallMapConvolution


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side"),
    [(3, 1, 1, 5), (3, 2, 1, 6), (3, 2, 1, 7), (1, 2, 0, 6)],
)
def test_gradients_are_those_of_a_convolution(kernel, stride, padding, side):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    features, weight = draw(3, 4, side, side), draw(5, 4, kernel, kernel)
    ours = SmallMapConvolution.apply(features, weight, stride, padding)
    plain = nn.functional.conv2d(features, weight, None, stride, padding)
    upstream = draw(*plain.shape)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (features, weight), upstream),
        torch.autograd.grad(plain, (features, weight), upstream),
    )


def _gradient(layer, features):
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(features)
    (gradient,) = torch.autograd.grad(outputs.float().square().sum(), layer.weight)
    return outputs, gradient


@pytest.mark.parametrize(("side", "ours"), [(8, True), (10, False)])
def test_only_small_maps_in_low_precision_are_taken(side, ours):
    torch.manual_seed(0)
    layer = Convolution(8, 16, 3, padding=1, bias=False)
    plain = nn.Conv2d(8, 16, 3, padding=1, bias=False)
    plain.load_state_dict(layer.state_dict())
    features = torch.randn(4, 8, side, side)
    outputs, gradient = _gradient(layer, features)
    expected_outputs, expected = _gradient(plain, features)
    assert (type(outputs.grad_fn).__name__ == "SmallMapConvolutionBackward") == ours
    assert torch.equal(outputs, expected_outputs)
    torch.testing.assert_close(gradient, expected, rtol=0.02, atol=0.02 * expected.abs().max())
    assert type(layer(features).grad_fn).__name__ == "ConvolutionBackward0"
