"""The exact direction against dense Jacobians: a right inverse, and what the options make of it."""

import pytest
import torch
from torch.func import jvp

from gn_study.dense import dense_jacobian, flatten
from gn_study.derivative import output_derivative
from gn_study.direction import gn_direction
from gn_study.factors import KeptFactor, factor_gram
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.ranks import RankError
from gn_study.revmlp import RevMLP

PLAIN = PseudoInverse("none")
VARIANTS = [
    {"num_blocks": 1},
    {"num_blocks": 3},
    {"bias": False},
    {"activation": "relu", "hidden": 60},
    {"activation": "softplus", "hidden": 60},
    {"outputs": 2},
]


def problem(make_network, draw, num_samples=6, **options):
    network = make_network(6, **{"hidden": 40, **options})
    inputs = draw(num_samples, 6)
    return network, inputs, draw(num_samples, network.num_outputs, seed=1)


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("route", ["gram", "svd"])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_it_is_a_right_inverse_of_the_jacobian(make_network, draw, options, route):
    network, inputs, error = problem(make_network, draw, **options)
    direction, diagnostics = gn_direction(
        network,
        inputs,
        error,
        pseudo_inverse=PseudoInverse("none", route=route),
        measure_residual=True,
        strict=True,
    )
    changed = dense_jacobian(network, inputs) @ flatten(network, direction)
    assert relative(changed, error.flatten()) < 1e-10
    assert diagnostics.right_inverse_residual < 1e-10
    assert sum(diagnostics.layer_weights) == pytest.approx(1)
    assert [half.name for half in diagnostics.half_layers] == list(network.half_layers())
    assert {half.kept_rank for half in diagnostics.half_layers} == {6}
    assert list(direction) == list(network.trained_parameters())
    for name, parameter in network.named_parameters():
        assert direction[name].shape == parameter.shape


def test_its_tangents_are_those_of_the_inverse_network(make_network, draw):
    """By their norms at every block, against forward-mode differentiation of the inverse."""
    network, inputs, error = problem(make_network, draw, num_blocks=4)
    _, diagnostics = gn_direction(network, inputs, error)
    state, tangent = network.features(inputs), error
    for number in reversed(range(4)):
        expected = float(tangent.detach().norm() / error.norm())
        assert diagnostics.tangent_norms[number] == pytest.approx(expected, rel=1e-12)
        state, tangent = jvp(network.blocks[number].inverse, (state,), (tangent,))


def test_each_blocks_part_is_the_moore_penrose_inverse_of_its_jacobian(make_network, draw):
    network, inputs, error = problem(make_network, draw, num_blocks=3)
    jacobian = dense_jacobian(network, inputs)
    for number in range(3):
        weights = [float(number == other) for other in range(3)]
        direction, _ = gn_direction(
            network, inputs, error, pseudo_inverse=PLAIN, layer_weights=weights
        )
        own = [name.startswith(f"blocks.{number}.") for name in direction]
        is_own = torch.cat(
            [
                torch.full((value.numel(),), mine)
                for value, mine in zip(direction.values(), own, strict=True)
            ]
        )
        found = flatten(network, direction)
        assert not found[~is_own].any()
        expected = torch.linalg.pinv(jacobian[:, is_own]) @ error.flatten()
        assert relative(found[is_own], expected) < 1e-9


def test_it_is_the_moore_penrose_inverse_for_one_block_and_longer_for_more(make_network, draw):
    lengths = {}
    for num_blocks in (1, 3, 6):
        network, inputs, error = problem(make_network, draw, num_blocks=num_blocks)
        direction, _ = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
        found = flatten(network, direction)
        shortest = torch.linalg.pinv(dense_jacobian(network, inputs)) @ error.flatten()
        lengths[num_blocks] = float(found.norm() / shortest.norm())
        assert (relative(found, shortest) < 1e-9) == (num_blocks == 1)
    assert lengths[1] == pytest.approx(1)
    assert min(lengths[3], lengths[6]) > 1.2


def test_weights_that_add_up_to_one_keep_it_exact(make_network, draw):
    network, inputs, error = problem(make_network, draw, num_blocks=3)

    def step(layer_weights):
        return gn_direction(
            network,
            inputs,
            error,
            pseudo_inverse=PLAIN,
            layer_weights=layer_weights,
            measure_residual=True,
        )

    for layer_weights in ((0.2, 0.5, 0.3), (0.0, 0.0, 1.0), (2.0, -1.5, 0.5), "minimum_norm"):
        _, diagnostics = step(layer_weights)
        assert sum(diagnostics.layer_weights) == pytest.approx(1)
        assert diagnostics.right_inverse_residual < 1e-10
    mean, summed, shortest = (step(name)[0] for name in ("mean", "sum", "minimum_norm"))
    assert relative(flatten(network, summed), 3 * flatten(network, mean)) < 1e-14
    best = flatten(network, shortest).norm()
    assert best < flatten(network, mean).norm()
    for layer_weights in ((0.2, 0.5, 0.3), (0.4, 0.3, 0.3)):
        assert best <= flatten(network, step(layer_weights)[0]).norm()


def test_without_the_cross_term_it_is_no_right_inverse(make_network, draw):
    network, inputs, error = problem(make_network, draw, num_blocks=3)

    def residual():
        return gn_direction(
            network,
            inputs,
            error,
            pseudo_inverse=PLAIN,
            cross_term=False,
            measure_residual=True,
        )[1].right_inverse_residual

    assert residual() > 1e-2
    for block in network.blocks:
        torch.nn.init.zeros_(block.second.weight)
    assert residual() < 1e-10


def test_a_readout_leaves_the_other_directions_where_they_are(make_network, draw):
    network, inputs, error = problem(make_network, draw, outputs=2)
    direction, _ = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
    readout, network.readout = network.readout, None
    changed = output_derivative(network, inputs, direction)
    assert relative(changed @ readout, error) < 1e-10
    others = changed - changed @ readout @ readout.T
    assert others.norm() < 1e-10 * changed.norm()


@pytest.mark.parametrize(("num_samples", "is_exact"), [(4, True), (5, False)])
def test_a_linear_first_block_fits_no_more_samples_than_its_rank(
    make_network, draw, num_samples, is_exact
):
    network, inputs, error = problem(
        make_network, draw, num_samples=num_samples, first_activation="identity", outputs=3
    )

    def step(strict):
        return gn_direction(
            network,
            inputs,
            error,
            pseudo_inverse=PLAIN,
            strict=strict,
            measure_residual=True,
        )[1]

    assert (step(False).right_inverse_residual < 1e-10) == is_exact
    if not is_exact:
        assert step(False).half_layers[0].kept_rank == 4
        with pytest.raises(RankError, match="a batch of 5 is larger than the rank 4 that"):
            step(True)


def test_strict_refuses_what_truncation_drops(make_network, draw):
    network, inputs, error = problem(make_network, draw)
    inputs[1] = inputs[0]
    with pytest.raises(RankError, match="keeps rank 5 of the 6"):
        gn_direction(network, inputs, error, strict=True)


def test_truncation_leaves_a_residual_that_is_measured(make_network, draw):
    network, inputs, error = problem(
        make_network, draw, num_samples=20, hidden=400, activation="relu"
    )
    residuals = []
    for rtol in (1e-6, 1e-1, 3e-1):
        direction, diagnostics = gn_direction(
            network,
            inputs,
            error,
            pseudo_inverse=PseudoInverse(rtol=rtol),
            measure_residual=True,
        )
        changed = dense_jacobian(network, inputs) @ flatten(network, direction)
        measured = diagnostics.right_inverse_residual
        assert measured == pytest.approx(relative(changed, error.flatten()), abs=1e-9)
        residuals.append(measured)
    assert residuals[0] < 1e-7 < 1e-2 < residuals[1] < residuals[2]


def test_the_step_is_exact_to_second_order(make_network, draw):
    network, inputs, error = problem(make_network, draw, num_blocks=3)
    direction, _ = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
    before = network(inputs)
    remainders = []
    for rate in (1e-2, 1e-3, 1e-4):
        other = make_network(6, hidden=40, num_blocks=3)
        for name, parameter in other.named_parameters():
            parameter.data.sub_(direction[name], alpha=rate)
        remainders.append(float((other(inputs) - before + rate * error).norm()) / rate**2)
    assert remainders[1] == pytest.approx(remainders[2], rel=0.05)


@pytest.mark.parametrize("kind", ["truncated", "damped", "tikhonov", "none"])
def test_the_gram_matrix_leads_where_the_svd_leads(make_network, draw, kind):
    network, inputs, error = problem(
        make_network, draw, num_samples=20, hidden=200, activation="relu"
    )
    found = [
        flatten(
            network,
            gn_direction(
                network,
                inputs,
                error,
                pseudo_inverse=PseudoInverse(kind, rtol=3e-2, route=route),
            )[0],
        )
        for route in ("gram", "svd")
    ]
    assert relative(*found) < 1e-7


def test_the_order_of_samples_does_not_matter(make_network, draw):
    network, inputs, error = problem(make_network, draw)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    found = [
        flatten(network, gn_direction(network, batch, wanted, pseudo_inverse=PLAIN)[0])
        for batch, wanted in ((inputs, error), (inputs[order], error[order]))
    ]
    assert relative(*found) < 1e-9


def test_one_sample_is_enough(make_network, draw):
    network, inputs, error = problem(make_network, draw, num_samples=1)
    _, diagnostics = gn_direction(network, inputs, error, strict=True, measure_residual=True)
    assert diagnostics.right_inverse_residual < 1e-12


def test_duplicated_samples_get_the_least_squares_fit(make_network, draw):
    """Equal wishes are met; of conflicting ones, their mean."""
    network, inputs, error = problem(make_network, draw, num_blocks=1)
    inputs[1], error[1] = inputs[0], error[0]
    direction, diagnostics = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
    assert diagnostics.half_layers[0].kept_rank == 5
    assert relative(output_derivative(network, inputs, direction), error) < 1e-6
    mean = error.clone()
    error[0] += 1
    error[1] -= 1
    direction, _ = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
    assert relative(output_derivative(network, inputs, direction), mean) < 1e-6


def test_more_samples_than_rank_are_fitted_as_well_as_can_be(make_network, draw):
    """One block: as near as any direction comes in the half that only one half-layer changes."""
    network, inputs, error = problem(
        make_network, draw, num_samples=60, num_blocks=1, activation="relu"
    )
    direction, _ = gn_direction(network, inputs, error, pseudo_inverse=PLAIN)
    changed = output_derivative(network, inputs, direction)
    assert changed.isfinite().all()
    jacobian = dense_jacobian(network, inputs)
    is_left = torch.zeros(60, 6, dtype=torch.bool)
    is_left[:, :3] = True
    rows = jacobian[is_left.flatten()]
    best = rows @ torch.linalg.pinv(rows) @ error[is_left]
    assert relative(changed[is_left], best) < 1e-6


def test_noise_disturbs_the_step_and_is_drawn_from_the_generator(make_network, draw):
    network, inputs, error = problem(make_network, draw)

    def step(kind, seed=0):
        direction, diagnostics = gn_direction(
            network,
            inputs,
            error,
            pseudo_inverse=PseudoInverse(kind, noise_std=1e-3),
            measure_residual=True,
            generator=torch.Generator().manual_seed(seed),
        )
        return flatten(network, direction), diagnostics.right_inverse_residual

    noisy, residual = step("noise")
    assert torch.equal(noisy, step("noise")[0])
    assert not torch.equal(noisy, step("noise", seed=1)[0])
    assert 1e-6 < residual < 1


def test_known_features_spare_the_forward_pass_alone(make_network, draw):
    network, inputs, error = problem(make_network, draw, outputs=2)
    plain, _ = gn_direction(network, inputs, error)
    spared, _ = gn_direction(network, inputs, error, features=network.features(inputs))
    assert torch.equal(flatten(network, plain), flatten(network, spared))


def test_a_batch_that_comes_again_needs_one_decomposition_less(make_network, draw, monkeypatch):
    network, inputs, error = problem(make_network, draw, num_blocks=3)
    kept, computed = KeptFactor(), []

    def counted(gram, pseudo_inverse):
        computed.append(len(gram))
        return factor_gram(gram, pseudo_inverse)

    for module in ("gn_study.factors", "gn_study.half_inverse"):
        monkeypatch.setattr(f"{module}.factor_gram", counted)
    for number_expected in (6, 5, 5):
        computed.clear()
        plain, _ = gn_direction(network, inputs, error)
        assert len(computed) == 6
        computed.clear()
        again, _ = gn_direction(network, inputs, error, kept=kept)
        assert len(computed) == number_expected
        assert torch.equal(flatten(network, plain), flatten(network, again))
        for name, parameter in network.named_parameters():
            parameter.data.sub_(plain[name], alpha=0.1)
    computed.clear()
    gn_direction(network, inputs + 1, error, kept=kept)
    assert len(computed) == 6


def test_single_precision_leads_in_the_same_direction(draw):
    directions = {}
    for dtype in (torch.float32, torch.float64):
        network = RevMLP(16, hidden=200, num_blocks=3, init_std=0.1, outputs=4, dtype=dtype)
        inputs, error = draw(32, 16).to(dtype), draw(32, 4, seed=1).to(dtype)
        direction, _ = gn_direction(network, inputs, error)
        assert all(value.dtype == dtype for value in direction.values())
        directions[dtype] = flatten(network, direction).double()
    cosine = torch.cosine_similarity(*directions.values(), dim=0)
    assert cosine > 0.999


def test_the_network_stays_as_it_is(make_network, draw):
    network, inputs, error = problem(make_network, draw, outputs=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    gn_direction(network, inputs, error)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("change", "fault", "message"),
    [
        ({"inputs": torch.zeros(6, 4)}, ValueError, r"not \(num_samples, 6\)"),
        ({"inputs": torch.zeros(0, 6)}, ValueError, r"not \(num_samples, 6\)"),
        ({"error": torch.zeros(5, 6)}, ValueError, r"not \(6, 6\)"),
        ({"error": torch.zeros(6, 6)}, ValueError, "several types"),
        ({"layer_weights": (1.0,)}, ValueError, "1 layer_weights for 2 blocks"),
        ({"layer_weights": "median"}, ValueError, "use mean, sum or minimum_norm"),
        (
            {"error": torch.full((6, 6), torch.nan, dtype=torch.float64)},
            FloatingPointError,
            "the error are not all finite",
        ),
        (
            {"inputs": torch.full((6, 6), torch.inf, dtype=torch.float64)},
            FloatingPointError,
            "the inputs are not all finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make_network, draw, change, fault, message):
    network, inputs, error = problem(make_network, draw)
    with pytest.raises(fault, match=message):
        gn_direction(network, **{"inputs": inputs, "error": error, **change})
