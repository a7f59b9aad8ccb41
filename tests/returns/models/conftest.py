"""A small synthetic task that every baseline classifier can learn."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from returns.event_set import EventSet, FeatureMatrix

LEVELS = ("A", "B", "C", "D", "never in training")
EFFECTS = np.array([-1.0, 0.0, 1.0, 2.0, 0.0, 0.5])
"""Log-odds of each level, and at the end of an unknown one."""


def no_graphs() -> Sequence[object]:
    raise AssertionError("a baseline classifier must not ask for graphs")


def no_neighbourhood(fan_out: int) -> object:
    raise AssertionError("a baseline classifier must not ask for neighbours")


def synthetic_event_set(seed: int, num_events: int) -> EventSet:
    """Events whose log-odds are linear in one quantity and in the level, on noise columns."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(num_events, 4)).astype(np.float32)
    codes = random.integers(-1, 4, size=(num_events, 2)).astype(np.int32)
    log_odds = 1.5 * numeric[:, 0] + EFFECTS[codes[:, 0]] - 0.5
    numeric[random.random(num_events) < 0.2, 1] = np.nan
    labels = (random.random(num_events) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    features = FeatureMatrix(
        numeric, codes, ("signal", "gaps", "noise", "more noise"), ("kind", "other"), (LEVELS,) * 2
    )
    weights = np.ones(num_events, np.float32)
    return EventSet(features, labels, weights, no_graphs, no_neighbourhood)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def train() -> EventSet:
    return synthetic_event_set(0, 3000)


@pytest.fixture(scope="session")
def validation() -> EventSet:
    return synthetic_event_set(1, 1000)


@pytest.fixture(scope="session")
def test_events() -> EventSet:
    return synthetic_event_set(2, 2000)


@pytest.fixture(scope="session")
def take_rows() -> Callable[[EventSet, np.ndarray], EventSet]:
    """Some events of a set."""

    def take(events: EventSet, rows: np.ndarray) -> EventSet:
        features = replace(
            events.features,
            numeric=events.features.numeric[rows],
            categorical=events.features.categorical[rows],
        )
        return replace(
            events, features=features, labels=events.labels[rows], weights=events.weights[rows]
        )

    return take
