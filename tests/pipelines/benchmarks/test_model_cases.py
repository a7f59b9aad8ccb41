"""The cases that run whole models: scoring, and growth with the number of events."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pipelines.benchmarks.growth import EPOCH, EVENTS, FACTORS, INGEST, SIZE, STAGES, Growth
from pipelines.benchmarks.measurement import CPU, GROWTH, PEAK, WALL, Measurement
from pipelines.benchmarks.predicting import (
    BYTES,
    GROWN,
    MICROSECONDS,
    MODELS,
    PORTIONS,
    ROWS,
    ROWS_PER_CPU,
    WHOLE,
    Predicting,
)
from pipelines.benchmarks.scoring import FIT, RATE, SCORE, Scoring
from pipelines.benchmarks.several_processes import LOSS, SeveralProcesses
from pipelines.model_arguments import DEFAULT_MODELS


def test_every_default_model_is_a_part_the_recommended_one_first(settings):
    parts = Scoring().parts(settings)
    assert parts[0] == "gnn"
    assert set(parts) == set(DEFAULT_MODELS)


@pytest.mark.parametrize("model", ["gnn", "logistic"])
def test_a_model_is_fitted_once_and_scores_repeatedly(settings, require_sound, model):
    case = Scoring()
    measurements = case.measure(model, settings)
    require_sound(measurements)
    by_key = {(row.subject, row.quantity): row for row in measurements}
    assert set(by_key) == {
        *((FIT, quantity) for quantity in (WALL, CPU, PEAK)),
        *((SCORE, quantity) for quantity in (WALL, CPU, PEAK, RATE)),
    }
    assert len(by_key[FIT, WALL].values) == 1
    assert len(by_key[SCORE, WALL].values) == settings.repeats
    num_events = by_key[SCORE, RATE].values[0] * by_key[SCORE, WALL].values[0]
    assert num_events == pytest.approx(2900, rel=0.1)  # the twin's test half at this scale
    assert set(case.figures(measurements)) == {case.name}


def test_a_file_is_scored_in_portions_and_whole_at_two_sizes(settings, require_sound):
    case, settings = Predicting(), replace(settings, repeats=1)
    assert case.parts(settings) == MODELS
    measurements = case.measure("lightgbm", settings)
    require_sound(measurements)
    by_key = {(row.subject, row.contender, row.quantity): row for row in measurements}
    subjects = list(dict.fromkeys(subject for subject, _, _ in by_key))
    quantities = (WALL, CPU, ROWS, ROWS_PER_CPU, GROWN)
    assert set(by_key) == set(product(subjects, (PORTIONS, WHOLE), quantities))
    numbers = [
        by_key[subject, PORTIONS, ROWS].values[0] * by_key[subject, PORTIONS, WALL].values[0]
        for subject in subjects
    ]
    assert numbers[0] == pytest.approx(2900, rel=0.1)  # the twin's test half at this scale
    assert numbers[1] == pytest.approx(4 * numbers[0])
    assert set(case.figures(measurements)) == {case.name}
    # What is left is the file: its folder is gone.
    assert sorted(path.name for path in settings.home.iterdir()) == ["datasets", "synthetic"]


def test_what_one_more_row_takes_does_not_count_the_start():
    measurements = [
        Measurement(f"gnn, {rows:,} rows", way, quantity, (figure,))
        for rows in (1000, 4000)
        for way in (PORTIONS, WHOLE)
        for quantity, figure in (
            (CPU, 5 + rows * 2e-5),
            (ROWS_PER_CPU, rows / (5 + rows * 2e-5)),
            (GROWN, 0.1 + rows * 50 / 2**30),
        )
    ]
    found = {
        (row.subject, row.quantity): row.values[0] for row in Predicting().conclude(measurements)
    }
    assert found[f"gnn, {PORTIONS}", MICROSECONDS] == pytest.approx(20)
    assert found[f"gnn, {WHOLE}", BYTES] == pytest.approx(50)
    assert len(found) == 4
    assert not Predicting().conclude(measurements[: len(measurements) // 2])


def test_two_processes_and_one_fit_in_turns_to_a_like_loss(settings, require_sound):
    case, settings = SeveralProcesses(), replace(settings, repeats=1)
    (part,) = case.parts(settings)
    measurements = case.measure(part, settings)
    require_sound(measurements)
    by_key = {(row.contender, row.quantity): row for row in measurements}
    assert [name for name, quantity in by_key if quantity == WALL] == [
        "two processes",
        "one process",
    ]
    losses = [by_key[name, LOSS].values[0] for name in ("two processes", "one process")]
    assert losses == pytest.approx([0.69, 0.69], abs=0.05)
    assert losses[0] == pytest.approx(losses[1], abs=0.03)
    assert set(case.figures(measurements)) == {case.name}


def test_growth_measures_every_stage_at_a_size(settings, require_sound):
    case, settings = Growth(), replace(settings, scale=0.01)
    parts = case.parts(settings)
    assert len(parts) == 2 * len(FACTORS)
    assert parts[:2] == ["ingest at scale 0.001", "learn at scale 0.001"]
    measurements = [row for part in parts[:2] for row in case.measure(part, settings)]
    require_sound(measurements)
    stages = {(row.subject, row.quantity) for row in measurements if row.subject != SIZE}
    assert stages == {(stage, quantity) for stage in STAGES for quantity in (WALL, CPU, PEAK)}
    (size,) = (row for row in measurements if row.subject == SIZE)
    assert size.values[0] == pytest.approx(2800, rel=0.1)
    # Ingested into a folder of its own, which is gone.
    assert sorted(path.name for path in settings.home.iterdir()) == ["datasets", "synthetic"]


def test_growth_fits_the_power_of_the_number_of_events():
    events = np.array([100.0, 1000.0, 10_000.0])
    measurements = []
    for number, size in enumerate(events):
        name = f"scale {number}"
        measurements.append(Measurement(SIZE, name, EVENTS, (size,)))
        for stage in STAGES:
            power = 1.5 if stage == EPOCH else 1.0
            measurements.append(Measurement(stage, name, WALL, (3 * size**power,)))
            measurements.append(Measurement(stage, name, PEAK, (0.5 + size / 1e5,)))
    case = Growth()
    exponents = {(row.subject, row.quantity): row.values[0] for row in case.conclude(measurements)}
    assert all(row.contender == GROWTH for row in case.conclude(measurements))
    assert exponents[EPOCH, f"exponent of {WALL}"] == pytest.approx(1.5)
    assert exponents[INGEST, f"exponent of {WALL}"] == pytest.approx(1.0)
    assert 0 < exponents[INGEST, f"exponent of {PEAK}"] < 0.1
    assert set(case.figures(measurements)) == {"growth_time", "growth_memory"}
    one_size = [row for row in measurements if row.contender == "scale 0"]
    assert len(one_size) == 1 + 2 * len(STAGES)
    assert not case.conclude(one_size)
    assert not case.figures(one_size)
