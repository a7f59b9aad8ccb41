"""The command `gauss_newton`: wrong usage, reports of what is done, and a whole smoke study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines import gauss_newton

Run = Callable[..., Any]


def test_all_wrong_options_are_reported_before_work(run: Run, tmp_path: Path) -> None:
    ended = run(gauss_newton, "--suites", "nonsense", "--home", tmp_path)
    assert ended.code == 2
    assert "no suite 'nonsense'" in ended.errors and "digits-mini-batch" in ended.errors
    named = run(
        gauss_newton, "--profile", "cpu", "--suites", "mnist-mini-batch", "--home", tmp_path
    )
    assert named.code == 2
    assert "--images" in named.errors
    (tmp_path / "file").touch()
    as_file = run(gauss_newton, "--out", tmp_path / "file", "--home", tmp_path)
    assert as_file.code == 2 and "is a file" in as_file.errors


def test_a_suite_runs_and_runs_only_once(run: Run, tmp_path: Path) -> None:
    words = ("--suites", "digits-full-batch", "--home", tmp_path)
    first = run(gauss_newton, *words)
    assert first.code == 0, first.errors
    assert "Fig. 1" in first.output and "GN seed 2" in first.output
    again = run(gauss_newton, *words)
    assert again.code == 0
    assert "GN seed 2" not in again.output
    table = pd.read_csv(tmp_path / "gauss_newton" / "smoke" / "gauss_newton" / "runs.csv")
    assert len(table) == 15
    # On a full batch the paper's first claim holds, by a wide margin.
    mean = table.groupby("arm")["train_loss"].mean()
    assert mean["GN"] < 0.5 * mean["SGD"]


def test_report_of_nothing_names_what_is_left_out_and_no_path(run: Run, tmp_path: Path) -> None:
    ended = run(
        gauss_newton, "--profile", "cpu", "--report-only", "--source", "twin", "--scale", "0.002",
        "--home", tmp_path, "--out", tmp_path / "report",
    )  # fmt: skip
    assert ended.code == 0, ended.errors
    assert "not run: mnist-full-batch" in ended.output
    assert "not run: superconductivity-mini-batch" in ended.output
    text = (tmp_path / "report" / "gauss_newton_report.md").read_text()
    assert "not tested" in text and "superconductivity is read from its CSV file" in text
    assert str(tmp_path) not in text


@pytest.mark.slow
def test_the_smoke_study_shows_the_mechanism(run: Run, tmp_path: Path) -> None:
    ended = run(gauss_newton, "--home", tmp_path)
    assert ended.code == 0, ended.errors
    table = pd.read_csv(tmp_path / "gauss_newton" / "smoke" / "gauss_newton" / "runs.csv")
    gn = table[(table["arm"] == "GN") & table["suite"].str.endswith("mini-batch")]
    # An update lowers the loss of its own batch far more than that of another.
    assert (gn["same_early"] < gn["other_early"] - 2).all()
    first_version = table[table["arm"] == "GN, no cross term"]
    exact = table[(table["arm"] == "GN") & (table["suite"] == "teacher-mini-batch")]
    assert exact["residual"].max() < 1e-3 < first_version["residual"].min()
