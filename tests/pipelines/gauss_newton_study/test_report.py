"""The report: what it says follows from the runs, and it carries its rules."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipelines.gauss_newton_study.claims import CLAIMS
from pipelines.gauss_newton_study.judging import judge
from pipelines.gauss_newton_study.report import ReportSubject, claim_rows, write_report
from pipelines.gauss_newton_study.suite_result import SuiteResult
from pipelines.gauss_newton_study.suites import Suite

SUBJECT = ReportSubject("smoke", "python -m pipelines.gauss_newton", "cpu", ["x: no file"])


@pytest.fixture
def results(finished: tuple[SuiteResult, SuiteResult]) -> list[SuiteResult]:
    return list(finished)


def test_report_tables_and_plots(results: list[SuiteResult], tmp_path: Path) -> None:
    files = write_report(results, SUBJECT, tmp_path, every_plot=False)
    text = files[0].read_text()
    for claim in CLAIMS:
        verdict = judge(claim, results).verdict
        assert claim.statement in text
        row = next(line for line in text.splitlines() if claim.statement + ".<br>" in line)
        assert f"**{verdict}**" in row
    assert "- x: no file" in text
    assert "## tiny-full-batch" in text and "## tiny-mini-batch" in text
    assert "2405.14402" in text and "2510.09378" in text
    assert "No suite ran both inverses." in text
    assert "95 % Student interval" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.split("](")[1].rstrip(")")).is_file()
    runs = pd.read_csv(tmp_path / "gauss_newton" / "runs.csv")
    assert len(runs) == 14
    assert set(runs["suite"]) == {"tiny-full-batch", "tiny-mini-batch"}
    plots = [path for path in files if path.suffix == ".png"]
    assert len(plots) == 2
    for path in plots:
        assert path.stat().st_size < 100_000
        with Image.open(path) as image:
            assert image.width > 300


def test_all_plots_on_request(results: list[SuiteResult], tmp_path: Path) -> None:
    files = write_report(results, SUBJECT, tmp_path, every_plot=True)
    assert len([path for path in files if path.suffix == ".png"]) == 11


def test_what_did_not_run_is_not_tested(suite: Suite, tmp_path: Path) -> None:
    nothing = SuiteResult(suite, {}, {}, {})
    text = write_report([nothing], SUBJECT, tmp_path, every_plot=False)[0].read_text()
    assert f"{len(CLAIMS)} not tested" in text
    rows = claim_rows([judge(claim, [nothing]) for claim in CLAIMS])
    assert {row[2] for row in rows} == {"not tested"}
