import pytest
import torch

from compression.errors import NotFittedError
from compression.rivals.block import BlockFisher
from compression.rivals.gradients import gradient_matrix


def fitted(problem, loader, **settings):
    curvature = BlockFisher(**settings)
    curvature.attach(problem)
    curvature.fit(loader)
    return curvature


def blocks(matrix, width):
    block = torch.arange(len(matrix)) // width
    return matrix * (block.unsqueeze(0) == block.unsqueeze(1))


@pytest.mark.parametrize("width", [1, 7, 9, 50])
def test_it_inverts_the_blocks_of_the_empirical_fisher(
    problem, loader, mask, check_against_matrix, width
):
    curvature = fitted(problem, loader, width=width, num_gradients=30, group=2)
    gradients = gradient_matrix(problem, loader, 30, 2)
    fisher = gradients.T @ gradients / 30
    size = problem.space.size
    damped = blocks(fisher, width) + problem.damping * torch.eye(size, dtype=torch.float64)
    check_against_matrix(curvature, damped, mask)


def test_fitting_under_a_mask_is_restricting_after_fitting(problem, loader, mask):
    after = fitted(problem, loader, width=6, num_gradients=20)
    after.set_mask(mask)
    before = BlockFisher(width=6, num_gradients=20)
    before.attach(problem)
    before.set_mask(mask)
    before.fit(loader)
    torch.testing.assert_close(before.inverse_diagonal(), after.inverse_diagonal())


def test_masks_that_shrink_step_by_step_end_where_one_step_does(problem, loader, mask):
    once, twice = (fitted(problem, loader, width=8, num_gradients=20) for _ in range(2))
    half = mask | (torch.arange(len(mask)) % 2 == 0)
    twice.set_mask(half)
    twice.set_mask(mask)
    once.set_mask(mask)
    torch.testing.assert_close(twice.inverse_diagonal(), once.inverse_diagonal())


def test_its_state_survives_a_file(problem, loader, check_round_trip):
    made = {"width": 8, "num_gradients": 20}
    check_round_trip(fitted(problem, loader, **made), BlockFisher(**made), problem)


def test_it_cannot_be_asked_before_it_is_fitted(problem):
    curvature = BlockFisher()
    curvature.attach(problem)
    with pytest.raises(NotFittedError, match="fit"):
        curvature.inverse_diagonal()
