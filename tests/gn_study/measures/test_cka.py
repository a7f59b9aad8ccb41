"""Linear CKA against its definitions, and what the debiased estimator is for."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from gn_study.measures.cka import gram, linear_cka


def draw(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def u_statistic(first: Tensor, second: Tensor) -> float:
    """HSIC as the mean of its kernel over all ordered quadruples of distinct samples."""
    terms = [
        float(first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q]))
        for i, j, q, r in permutations(range(len(first)), 4)
    ]
    return sum(terms) / len(terms)


def test_debiased_is_the_mean_over_distinct_quadruples() -> None:
    first, second = gram(draw(7, 3, seed=0)), gram(draw(7, 5, seed=1))
    expected = u_statistic(first, second) / (
        (u_statistic(first, first) * u_statistic(second, second)) ** 0.5
    )
    assert linear_cka(first, second) == pytest.approx(expected, abs=1e-12)


def test_biased_is_the_norm_of_the_cross_covariance() -> None:
    one, other = draw(20, 3, seed=2), draw(20, 4, seed=3)
    one, other = one - one.mean(dim=0), other - other.mean(dim=0)
    norm = torch.linalg.matrix_norm
    expected = norm(one.T @ other) ** 2 / (norm(one.T @ one) * norm(other.T @ other))
    found = linear_cka(gram(one + 3), gram(other - 2), debiased=False)
    assert found == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_same_representation_rotated_scaled_and_shifted_is_alike(debiased: bool) -> None:
    representation = draw(12, 6, seed=4)
    rotation, _ = torch.linalg.qr(draw(6, 6, seed=5))
    moved = 2.5 * representation @ rotation + draw(1, 6, seed=6)
    found = linear_cka(gram(representation), gram(moved), debiased)
    assert found == pytest.approx(1, abs=1e-10)


def test_unrelated_wide_representations_fool_the_biased_estimator_only() -> None:
    first, second = gram(draw(30, 2000, seed=7)), gram(draw(30, 2000, seed=8))
    assert linear_cka(first, second, debiased=False) > 0.9
    assert abs(linear_cka(first, second)) < 0.2


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="5 and 6 samples"):
        linear_cka(torch.eye(5), torch.eye(6))
    with pytest.raises(ValueError, match="needs 4 samples"):
        linear_cka(torch.eye(3), torch.eye(3))
