import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.rivals.woodbury import add_gradients


def recursion(gradients, damping, at_once):
    width = gradients.shape[1]
    inverse = torch.eye(width, dtype=gradients.dtype) / damping
    for some in gradients.split(at_once):
        add_gradients(inverse, some, len(gradients))
    return inverse


def relative_error(found, expected):
    return ((found.double() - expected).norm() / expected.norm()).item()


# About three times the largest error over five draws; the recursion's error grows as 1 / damping.
@pytest.mark.parametrize(
    ("dtype", "damping", "tolerance"),
    [
        (torch.float64, 1e-3, 1e-13),
        (torch.float64, 1e-5, 1e-11),
        (torch.float64, 1e-7, 1e-9),
        (torch.float32, 1e-3, 2e-5),
        (torch.float32, 1e-5, 2e-3),
        (torch.float32, 1e-7, 2e-1),
    ],
)
@pytest.mark.parametrize("at_once", [1, 16])
def test_the_recursion_gives_the_dense_inverse(dtype, damping, tolerance, at_once):
    gradients = torch.randn(
        200, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    matrix = gradients.T @ gradients / 200 + damping * torch.eye(30, dtype=torch.float64)
    found = recursion(gradients.to(dtype), damping, at_once)
    assert relative_error(found, torch.linalg.inv(matrix)) < tolerance


@given(
    number=st.integers(1, 12),
    width=st.integers(1, 8),
    at_once=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_it_does_not_matter_how_many_gradients_come_at_once(number, width, at_once, seed):
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(number, width, dtype=torch.float64, generator=generator)
    one_by_one = recursion(gradients, 0.1, 1)
    torch.testing.assert_close(recursion(gradients, 0.1, at_once), one_by_one)


def test_stacked_matrices_are_updated_each_with_its_own_gradients():
    gradients = torch.randn(3, 10, 4, dtype=torch.float64)
    inverse = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    add_gradients(inverse, gradients, 10)
    for found, of_one in zip(inverse, gradients, strict=True):
        torch.testing.assert_close(found, recursion(of_one, 1.0, 1))
