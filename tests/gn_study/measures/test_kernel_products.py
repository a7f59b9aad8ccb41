"""Kernel products and alignment against a dense Jacobian."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from gn_study.measures.alignment import alignment, velocity
from gn_study.measures.kernel_products import draw_probes, kernel_products

NUM_SAMPLES, NUM_OUTPUTS = 6, 3


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, NUM_OUTPUTS))
    return layers.double()


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NUM_SAMPLES, 5, generator=generator, dtype=torch.float64)


def parameters_of(network: nn.Module, moved: float = 0.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        name: tensor.detach() + moved * torch.randn(tensor.shape, generator=generator).double()
        for name, tensor in network.named_parameters()
    }


def dense_kernel(network: nn.Module, inputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    jacobians = jacrev(lambda at: functional_call(network, at, (inputs,)))(parameters)
    rows = torch.cat(
        [part.reshape(NUM_SAMPLES * NUM_OUTPUTS, -1) for part in jacobians.values()], 1
    )
    return rows @ rows.T


def test_products_are_those_of_the_dense_kernel(network: nn.Module, inputs: Tensor) -> None:
    parameters = parameters_of(network)
    probes = draw_probes(4, network(inputs), torch.Generator().manual_seed(3))
    found = kernel_products(lambda at: functional_call(network, at, (inputs,)), parameters, probes)
    expected = probes.reshape(4, -1) @ dense_kernel(network, inputs, parameters)
    torch.testing.assert_close(found.reshape(4, -1), expected, rtol=1e-12, atol=1e-12)


def test_estimate_approaches_the_exact_alignment(network: nn.Module, inputs: Tensor) -> None:
    places = parameters_of(network), parameters_of(network, moved=0.8)
    exact = alignment(*(dense_kernel(network, inputs, place) for place in places))
    probes = draw_probes(1000, network(inputs), torch.Generator().manual_seed(4))
    estimate = alignment(
        *(
            kernel_products(lambda at: functional_call(network, at, (inputs,)), place, probes)
            for place in places
        )
    )
    assert exact < 0.9
    assert estimate == pytest.approx(exact, abs=0.04)


def test_probes_repeat_with_their_seed() -> None:
    outputs = torch.zeros(2, 3)
    first, second = (
        draw_probes(5, outputs, torch.Generator().manual_seed(5)),
        draw_probes(5, outputs, torch.Generator().manual_seed(5)),
    )
    assert first.shape == (5, 2, 3)
    assert first.dtype == outputs.dtype
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_alignment_of_a_kernel_with_itself_and_its_opposite() -> None:
    kernel = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    assert alignment(kernel, 4 * kernel) == pytest.approx(1, abs=1e-15)
    assert alignment(kernel, -kernel) == pytest.approx(-1, abs=1e-15)
    assert velocity(kernel, kernel) == pytest.approx(0, abs=1e-15)
    assert alignment(torch.eye(2), torch.ones(2, 2)) == pytest.approx(2**-0.5, abs=1e-12)


def test_kernels_of_other_sizes_do_not_align() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 3\)"):
        alignment(torch.eye(2), torch.eye(3))
