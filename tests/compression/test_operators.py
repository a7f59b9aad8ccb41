"""Products with Gram matrices: values and hand-written gradients."""

import pytest
import torch

from compression.operators import damped_inverse_factors, gram_product


@pytest.mark.parametrize("is_outer", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("num_vectors", [2, 9])
def test_gram_products_and_their_gradients(is_outer, groups, num_vectors):
    torch.manual_seed(0)
    factor = torch.randn(groups, 4, 4, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(groups, 4, num_vectors, dtype=torch.float64, requires_grad=True)
    gram = factor @ factor.mT if is_outer else factor.mT @ factor
    torch.testing.assert_close(gram_product(factor, vectors, is_outer), gram @ vectors)
    stacked = torch.stack([vectors, 2 * vectors])
    torch.testing.assert_close(gram_product(factor, stacked, is_outer), gram @ stacked)
    assert torch.autograd.gradcheck(
        lambda left, right: gram_product(left, right, is_outer), (factor, vectors)
    )


def test_inverse_factors_have_mean_one_and_the_inverse_of_the_damped_product():
    torch.manual_seed(0)
    noise = torch.randn(2, 3, 8, dtype=torch.float64), torch.randn(2, 4, 8, dtype=torch.float64)
    rows, columns = (one @ one.mT for one in noise)
    columns *= (rows.diagonal(dim1=1, dim2=2).sum(1) / columns.diagonal(dim1=1, dim2=2).sum(1))[
        :, None, None
    ]
    roots, level = damped_inverse_factors([rows, columns], 0.1)
    for group in range(2):
        mean = rows[group].trace() / 12
        share = (0.1 / mean) ** 0.5
        damped = [
            moment[group] / moment[group].trace() * len(moment[group])
            + share * torch.eye(len(moment[group]), dtype=torch.float64)
            for moment in (rows, columns)
        ]
        expected = torch.linalg.inv(mean * torch.kron(*damped))
        grams = [root[group].mT @ root[group] for root in roots]
        for gram in grams:
            assert gram.diagonal().mean().item() == pytest.approx(1)
        found = level[group] * torch.kron(*(gram.contiguous() for gram in grams))
        torch.testing.assert_close(found, expected)
