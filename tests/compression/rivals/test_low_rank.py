import pytest
import torch

from compression.errors import NotFittedError
from compression.rivals.gradients import gradient_matrix
from compression.rivals.low_rank import LowRankFisher


def fitted(problem, loader, **settings):
    curvature = LowRankFisher(**settings)
    curvature.attach(problem)
    curvature.fit(loader)
    return curvature


def layers(matrix, space):
    layer = torch.cat(
        [
            torch.full((slots[-1].stop - slots[0].start,), number)
            for number, slots in enumerate(space.layers.values())
        ]
    )
    return matrix * (layer.unsqueeze(0) == layer.unsqueeze(1))


def mfac(gradients, damping, vectors):
    """M-FAC's recursion (Frantar et al., 2021, section 3.1): products and diagonal, no matrix."""
    number = len(gradients)
    rows, denominators = [], []

    def product(vector):
        result = vector / damping
        for row, denominator in zip(rows, denominators, strict=True):
            result = result - row * (row @ vector) / denominator
        return result

    for gradient in gradients:
        row = product(gradient)
        denominators.append(number + gradient @ row)
        rows.append(row)
    diagonal = torch.full_like(gradients[0], 1 / damping)
    for row, denominator in zip(rows, denominators, strict=True):
        diagonal -= row.square() / denominator
    return torch.stack([product(vector) for vector in vectors]), diagonal


@pytest.mark.parametrize("by_layer", [False, True])
@pytest.mark.parametrize(("number", "group"), [(60, 1), (10, 3)])
def test_it_inverts_the_empirical_fisher(
    problem, loader, mask, check_against_matrix, by_layer, number, group
):
    settings = {"num_gradients": number, "group": group, "by_layer": by_layer}
    curvature = fitted(problem, loader, **settings)
    gradients = gradient_matrix(problem, loader, number, group)
    fisher = gradients.T @ gradients / number
    if by_layer:
        fisher = layers(fisher, problem.space)
    damped = fisher + problem.damping * torch.eye(len(mask), dtype=torch.float64)
    check_against_matrix(curvature, damped, mask)


def test_it_equals_the_recursion_of_mfac(problem, loader):
    curvature = fitted(problem, loader, num_gradients=25, group=2)
    gradients = gradient_matrix(problem, loader, 25, 2)
    vectors = torch.randn(3, problem.space.size, dtype=torch.float64)
    products, diagonal = mfac(gradients, problem.damping, vectors)
    torch.testing.assert_close(curvature.inverse_product(vectors), products)
    torch.testing.assert_close(curvature.inverse_diagonal(), diagonal)


@pytest.mark.parametrize("by_layer", [False, True])
def test_its_state_survives_a_file(problem, loader, check_round_trip, by_layer):
    made = {"num_gradients": 20, "group": 2, "by_layer": by_layer}
    check_round_trip(fitted(problem, loader, **made), LowRankFisher(**made), problem)


def test_it_cannot_be_asked_before_it_is_fitted(problem):
    curvature = LowRankFisher()
    curvature.attach(problem)
    with pytest.raises(NotFittedError, match="fit"):
        curvature.inverse_diagonal()
