"""The command `benchmark`: fresh processes, kept parts, what it prints and records."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from mlflow import MlflowClient

from data.validation import InputError
from pipelines import benchmark
from pipelines.benchmarks import isolation
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.isolation import MeasuredPart, PartFailed, measure_apart, measure_here
from pipelines.benchmarks.kept import KeptParts
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.registry import CASES, create

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
PART = MeasuredPart((Measurement("task", "contender", "wall s", (1.0, 2.0)),), "2026-01-01", 0.25)


@pytest.fixture
def settings(tmp_path):
    return Settings(scale=0.01, repeats=1, threads=1, epochs=1, seed=0, home=tmp_path)


def test_every_case_can_be_named_and_is_made():
    assert set(get_args(benchmark.CaseName)) == set(CASES)
    assert set(benchmark.Arguments().cases) == set(CASES)
    assert [create(name).name for name in CASES] == list(CASES)
    with pytest.raises(ValueError, match="there are: full_batch_step"):
        create("nonsense")


def test_kept_parts_are_found_again_under_the_same_settings_alone(settings, tmp_path):
    path = tmp_path / "kept.json"
    KeptParts(path).put("growth", "learn", settings, PART)
    kept = KeptParts(path)
    assert kept.get("growth", "learn", settings) == PART
    assert kept.get("growth", "learn", replace(settings, home=Path("elsewhere"))) == PART
    assert kept.get("growth", "ingest", settings) is None
    assert kept.get("scoring", "learn", settings) is None
    for other in ({"scale": 0.5}, {"threads": 2}, {"epochs": None}, {"repeats": 3}, {"seed": 1}):
        assert kept.get("growth", "learn", replace(settings, **other)) is None


def test_kept_parts_that_cannot_be_read_are_called_so(tmp_path):
    (tmp_path / "kept.json").write_text("{")
    with pytest.raises(InputError, match="Delete the file"):
        KeptParts(tmp_path / "kept.json")


def test_a_part_is_measured_in_a_process_with_the_threads_asked_for(settings, tmp_path):
    here = os.environ.get("OMP_NUM_THREADS")
    apart = measure_apart("growth", "ingest at scale 0.001", settings)
    assert {row.subject for row in apart.measurements} == {"ingest"}
    assert apart.began > "2026"
    assert os.environ.get("OMP_NUM_THREADS") == here
    # This process holds far more than a fresh one.
    (peak,) = (row.values[0] for row in apart.measurements if row.quantity == "peak GiB")
    here = measure_here("growth", "ingest at scale 0.001", settings)
    (peak_here,) = (row.values[0] for row in here.measurements if row.quantity == "peak GiB")
    assert 0 < peak < peak_here


def test_a_process_that_fails_is_named(settings, capfd):
    with pytest.raises(PartFailed, match="growth, nonsense"):
        measure_apart("growth", "nonsense", settings)
    assert "Error" in capfd.readouterr().err


def test_growth_goes_on_where_it_was(tmp_path, run, settings, monkeypatch):
    """All parts but one are kept, with figures that no run would measure."""
    home = (tmp_path / "home").resolve()
    parts = create("growth").parts(settings)
    kept = KeptParts(home / "benchmarks" / "kept.json")
    for number, part in enumerate(parts[1:]):
        stages = ["ingest"] if part.startswith("ingest") else ["features of all events"]
        if not part.startswith("ingest"):
            stages += ["graphs of training", "one epoch of gnn", "score the test events by gnn"]
        scale = part.partition(" at ")[2]
        rows = [
            Measurement(stage, scale, quantity, (1000.0 + number,))
            for stage in stages
            for quantity in ("wall s", "CPU s", "peak GiB")
        ]
        if part.startswith("learn"):
            rows.insert(0, Measurement("size", scale, "events", (10.0 ** (number + 3),)))
        kept.put("growth", part, settings, MeasuredPart(tuple(rows), "2026-01-01", 0.0))
    measured = []

    def observed(case, part, settings):
        measured.append(part)
        return isolation.measure_apart(case, part, settings)

    monkeypatch.setattr(benchmark, "measure_apart", observed)
    words = ("--cases", "growth", "--scale", 0.01, "--epochs", 1, "--repeats", 1, "--threads", 1)
    ended = run(benchmark, *words, "--home", home)
    assert ended.code == 0, ended.errors
    assert measured == ["ingest at scale 0.001"]
    assert "1,006" in ended.output  # the kept figure of the largest size
    assert "exponent of wall s" in ended.output
    again = run(benchmark, *words, "--home", home)
    assert again.code == 0, again.errors
    assert measured == ["ingest at scale 0.001"]
    store = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("benchmark")
    recorded = store.search_runs([experiment.experiment_id])
    assert [entry.info.status for entry in recorded] == ["FINISHED"] * 2
    metrics = recorded[0].data.metrics
    assert metrics["growth/ingest/scale 0.03/wall s"] == 1005.0
    assert 0 < metrics["growth/ingest/scale 0.001/wall s"] < 1000
    assert recorded[0].data.params["threads"] == "1"
    run_id = recorded[0].info.run_id
    files = {file.path for file in store.list_artifacts(run_id, "benchmark")}
    assert files == {f"benchmark/{name}" for name in ("growth.csv", "growth.md", f"{run_id}.json")}
    plots = {file.path for file in store.list_artifacts(run_id, "plots")}
    assert plots == {"plots/growth_time.png", "plots/growth_memory.png"}
    results = json.loads((home / "benchmarks" / f"{run_id}.json").read_text())
    assert list(results["cases"]["growth"]["parts"]) == parts
    assert len(results["cases"]["growth"]["conclusions"]) == 10


def test_only_the_named_parts_are_measured(tmp_path, run):
    words = ("--cases", "growth", "--scale", 0.01, "--threads", 1)
    home = tmp_path / "home"
    ended = run(benchmark, *words, "--parts", "ingest at scale 0.001", "--home", home)
    assert ended.code == 0, ended.errors
    (results,) = (home / "benchmarks").glob("[0-9a-f]*.json")
    measured = json.loads(results.read_text())["cases"]["growth"]
    assert list(measured["parts"]) == ["ingest at scale 0.001"]
    assert measured["conclusions"] == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--scale", 0), "--scale"),
        (("--cases", "growth", "--scale", 0.005), "--scale"),
        (("--scale", 5), "--scale"),
        (("--threads", CORES + 1), "--threads"),
        (("--threads", 0), "--threads"),
        (("--repeats", 0), "--repeats"),
        (("--epochs", 0), "--epochs"),
        (("--seed", -1), "--seed"),
        (("--cases", "growth", "growth"), "named twice"),
        (("--cases",), "no case is named"),
        (("--cases", "scoring", "--parts", "nonsense"), "no part 'nonsense'"),
        (("--cases", "scoring", "growth", "--parts", "gnn"), "'growth' has none"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, run, words, fault):
    ended = run(benchmark, *words, "--home", tmp_path / "home")
    assert ended.code == 2
    assert fault in ended.errors
    assert not (tmp_path / "home").exists()
