import pytest
import torch

from compression.errors import NotFittedError
from compression.rivals.diagonal import DiagonalFisher
from compression.rivals.gradients import gradient_matrix


def fitted(problem, loader, **settings):
    curvature = DiagonalFisher(**settings)
    curvature.attach(problem)
    curvature.fit(loader)
    return curvature


@pytest.mark.parametrize(("number", "group"), [(60, 1), (7, 5)])
def test_it_is_the_mean_square_of_the_gradients(
    problem, loader, mask, check_against_matrix, number, group
):
    curvature = fitted(problem, loader, num_gradients=number, group=group)
    gradients = gradient_matrix(problem, loader, number, group)
    diagonal = gradients.square().mean(dim=0) + problem.damping
    check_against_matrix(curvature, torch.diag(diagonal), mask)


def test_its_state_survives_a_file(problem, loader, check_round_trip):
    check_round_trip(fitted(problem, loader, num_gradients=20), DiagonalFisher(), problem)


def test_it_cannot_be_asked_before_it_is_fitted(problem):
    curvature = DiagonalFisher()
    curvature.attach(problem)
    with pytest.raises(NotFittedError, match="fit"):
        curvature.inverse_diagonal()
