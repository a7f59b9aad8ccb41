import torch

from returns.reasons.integrated_gradients import integrated_gradients


def test_a_polynomial_is_parted_exactly():
    """Along the path t * x the part of x in x^2 y is 2/3 of the value, that of y 1/3."""
    x = torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    y = torch.tensor([[3.0], [0.5]], dtype=torch.float64)
    found = integrated_gradients(lambda each: (each[0] ** 2 * each[1]).squeeze(1), [x, y], steps=4)
    value = x**2 * y
    torch.testing.assert_close(found[0], value * 2 / 3)
    torch.testing.assert_close(found[1], value / 3)


def test_parts_of_a_smooth_network_add_up():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.GELU(), torch.nn.LayerNorm(8), torch.nn.Linear(8, 1)
    ).double()
    inputs = torch.randn(7, 5, dtype=torch.float64)
    (parts,) = integrated_gradients(lambda each: network(each[0]).squeeze(1), [inputs])
    with torch.no_grad():
        difference = network(inputs) - network(torch.zeros(1, 5, dtype=torch.float64))
    torch.testing.assert_close(parts.sum(1), difference.squeeze(1), atol=1e-6, rtol=1e-6)


def test_an_input_without_influence_has_no_part():
    inputs = torch.randn(4, 3, dtype=torch.float64)
    (parts,) = integrated_gradients(lambda each: each[0][:, 0].tanh(), [inputs])
    assert (parts[:, 1:] == 0).all()
    torch.testing.assert_close(parts[:, 0], inputs[:, 0].tanh())
