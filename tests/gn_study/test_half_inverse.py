"""Features of several half-layers, decomposed one after the other or side by side."""

import pytest
import torch

from gn_study.half_inverse import FEWEST_ROWS, gram_matrix, invert_features
from gn_study.pseudo_inverse import PseudoInverse


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(1, 1), (5, 2000), (300, 40)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_gram_matrix_is_put_together_from_parts(draw, shape, has_bias):
    features = draw(*shape)
    ones = torch.ones(shape[0], int(has_bias), dtype=torch.float64)
    whole = torch.cat([features, ones], dim=1)
    found = gram_matrix(features, has_bias)
    assert torch.allclose(found, whole @ whole.T, rtol=1e-12, atol=1e-10)
    assert torch.equal(found, found.T)


def test_single_precision_features_have_a_double_precision_gram_matrix(draw):
    features = draw(20, 3000).float()
    expected = features.double() @ features.double().T
    assert torch.allclose(gram_matrix(features, False), expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("kind", ["truncated", "damped"])
def test_side_by_side_is_as_one_after_the_other(make_network, draw, two_threads, kind):
    network = make_network(8, num_blocks=1, activation="relu", hidden=400)
    inputs, targets = draw(FEWEST_ROWS, 4), draw(FEWEST_ROWS, 4, seed=1)
    halves = [(half, half.features(inputs).detach()) for half in network.half_layers().values()]
    together = invert_features(halves, PseudoInverse(kind))
    assert torch.get_num_threads() == 2
    for half, found in zip(halves, together, strict=True):
        (alone,) = invert_features([half], PseudoInverse(kind))
        assert found.factor.kept_rank == alone.factor.kept_rank
        assert torch.allclose(found.fitted(targets), alone.fitted(targets), atol=1e-9)


@pytest.mark.parametrize("route", ["gram", "svd"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_solution_fits_what_it_says(make_network, draw, route, bias):
    network = make_network(8, num_blocks=1, hidden=12, activation="relu", bias=bias)
    (half, _) = network.half_layers().values()
    features, targets = half.features(draw(30, 4)).detach(), draw(30, 4, seed=1)
    (inverse,) = invert_features([(half, features)], PseudoInverse("none", route=route))
    weight, change = inverse.solve(targets)
    assert (change is not None) == bias
    fitted = torch.nn.functional.linear(features, weight, change)
    assert torch.allclose(inverse.fitted(targets), fitted, atol=1e-9)
    ones = torch.ones(30, int(bias), dtype=torch.float64)
    expected = torch.linalg.lstsq(torch.cat([features, ones], dim=1), targets, driver="gelsd")
    assert torch.allclose(torch.cat([features, ones], dim=1) @ expected.solution, fitted, atol=1e-8)
    assert not inverse.is_exact
