"""The study's report: claims and their verdicts, the decisive ablation, every suite, all rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from data.files import atomic_file
from pipelines.gauss_newton_study.claims import CLAIMS
from pipelines.gauss_newton_study.decisive import (
    DECISIVE,
    decisive_answer,
    decisive_intervals,
)
from pipelines.gauss_newton_study.figures import suite_figures
from pipelines.gauss_newton_study.intervals import Interval, Verdict
from pipelines.gauss_newton_study.judging import Judged, judge
from pipelines.gauss_newton_study.questions import QUESTIONS, answers
from pipelines.gauss_newton_study.run_table import run_table, trial_table
from pipelines.gauss_newton_study.suite_result import (
    WHOLE,
    SuiteResult,
    at_end,
    mean_of_steps,
)

REPORT = "gauss_newton_report.md"
FOLDER = "gauss_newton"
"""Beside the report: its tables and plots."""

DOTS_PER_INCH, COLOURS = 80, 48
"""Of the plots, which stay small enough to be kept beside the report."""

PAPER_FIGURES = """\
| paper | plot | suites |
|---|---|---|
| 1 | `learning_curves` | full batch |
| 2 | `learning_curves` | mini-batch |
| 3 | `update_effects`, with another batch and held-out samples beside it | mini-batch |
| 4, 10 | `kernel_and_features` | mini-batch |
| 5 | `no_bottleneck` | ablations |
| 6 | `long` | ablations |
| 7 | `switch` | ablations |
| 8 | `init` | ablations |
| 9 | `weights` | mini-batch |
| 11 | `pairwise_cka` | mini-batch |
| 12 | `rates` | ablations |
| 13 | `weight_decay` | ablations |
| 14 | `regularisation` | ablations |
| 15 | `learning_curves` | regressions |

Plots that are not shown below are written by `--every-plot`."""

RULES = """\
- Learning rates: six per optimiser over two and a half decades, chosen by the lowest validation
  loss at the end of a run with a seed of its own; the same number for every tuned arm. The test
  part is never chosen on. Ablations keep the rate of the arm they change, unless said otherwise.
- Every claim is a figure that is positive, seed by seed, where the claim holds. Arms with the same
  seed begin with the same weights and see the same batches, so differences are paired. On each
  suite the claim is *reproduced* if the 95 % Student interval over seeds lies above 0, *not
  reproduced* if it lies below 0, else *undecided*; a claim that something has little effect is
  reproduced if the interval lies within the margin. Over all suites: the verdict that more than
  half of the suites share and none contradicts, else undecided.
- Three seeds make wide intervals: the Student factor is 4.3. No correction is made for the number
  of claims: of twenty true nulls one would be decided by chance.
- The kernel alignment uses the exact tangent kernel of fixed validation samples; CKA is the
  debiased linear one on fixed validation samples.
- The full-batch claim is tested on full-batch suites, all others on mini-batch suites.
- Of regressions the test accuracy is R squared, the share of the targets' variance explained."""

LITERATURE = """\
Findings of others bear on the paper's conclusion and are not tested here.

- Against it: EGN (Korbit et al., arXiv 2405.14402) solves the Gauss-Newton system of a mini-batch
  exactly in batch space and reports generalisation on a par with or better than tuned SGD and
  Adam. Full Gauss-Newton on language models up to 150 M parameters (Abreu et al., arXiv
  2510.09378) reports 5.4 times fewer iterations than SOAP and Muon, and that ignoring cross-layer
  curvature costs little.
- For it: Wadia et al. (2021) argue that whitening and second-order methods discard information
  that generalisation needs.
- About its method: the poster's abstract at NeurIPS says that the tangent kernel changes, the
  final text that it hardly does; the first published code lacks the cross term of the exact
  inverse. Both versions are arms of this study."""


@dataclass(frozen=True)
class ReportSubject:
    """What the report says of how it came to be.

    Attributes:
        profile: Name of the profile.
        command: The command that wrote it.
        machine: Device and versions.
        left_out: Suites that were not run, and why.
    """

    profile: str
    command: str
    machine: str
    left_out: Sequence[str]


def write_report(
    results: Sequence[SuiteResult], subject: ReportSubject, folder: Path, every_plot: bool
) -> list[Path]:
    """Write the report, its tables and its plots.

    Args:
        results: Of every suite.
        subject: How they came to be.
        folder: Where the report goes; tables and plots into `gauss_newton` in it.
        every_plot: Whether all plots are written instead of those that the report shows.

    Returns:
        The files, the report first.
    """
    judged = [judge(claim, results) for claim in CLAIMS]
    files = []
    shown: dict[str, list[str]] = {}
    for result in results:
        shown[result.suite.name] = []
        for name, figure in suite_figures(result).items():
            if not (name in result.suite.plots or every_plot):
                continue
            file = f"{result.suite.name}-{name}.png"
            files.append(_save(figure, folder / FOLDER / file))
            if name in result.suite.plots:
                shown[result.suite.name].append(f"{FOLDER}/{file}")
    for name, table in (("runs", run_table(results)), ("rates", trial_table(results))):
        with atomic_file(folder / FOLDER / f"{name}.csv") as path:
            table.to_csv(path, index=False)
        files.append(folder / FOLDER / f"{name}.csv")
    text = "\n\n".join(
        [
            *_head(subject, results),
            *_summary(judged),
            *_decisive(results),
            *_ablations(results),
            "## The paper's figures here",
            PAPER_FIGURES,
            *(part for result in results for part in _suite(result, shown[result.suite.name])),
            "## Rules",
            RULES,
            "## Evidence of others",
            LITERATURE,
        ]
    )
    with atomic_file(folder / REPORT) as path:
        path.write_text(text + "\n")
    return [folder / REPORT, *files]


def claim_rows(judged: Sequence[Judged]) -> list[tuple[str, str, str]]:
    """Place, statement and verdict of each claim."""
    return [(found.claim.place, found.claim.statement, found.verdict) for found in judged]


def _head(subject: ReportSubject, results: Sequence[SuiteResult]) -> list[str]:
    runs = sum(len(found) for result in results for found in result.runs.values())
    seconds = sum(
        run.seconds for result in results for found in result.runs.values() for run in found
    )
    parts = [
        "# Exact Gauss-Newton in reversible networks: what the runs say",
        "The paper's claims (Buffelli et al., NeurIPS 2024, arXiv 2411.07979) are hypotheses here. "
        "Every number below is computed from finished runs by the rules at the end.",
        f"Written by `{subject.command}`: profile `{subject.profile}`, {runs} reported runs in "
        f"{len(results)} suites ({seconds / 60:.0f} minutes, trials of learning rates not "
        f"counted), {subject.machine}. One row per run: [{FOLDER}/runs.csv]({FOLDER}/runs.csv); "
        f"all trials of learning rates: [{FOLDER}/rates.csv]({FOLDER}/rates.csv).",
    ]
    if subject.left_out:
        parts.append("Not run:\n\n" + "\n".join(f"- {line}" for line in subject.left_out))
    return parts


def _summary(judged: Sequence[Judged]) -> list[str]:
    counts = ", ".join(
        f"{sum(found.verdict is verdict for found in judged)} {verdict}" for verdict in Verdict
    )
    rows = [["claim", "paper", "verdict", "by suite: figure [95 % over seeds]"]]
    for found in judged:
        evidence = "<br>".join(
            f"{item.suite}: {item.interval.text()} → {item.verdict}" for item in found.evidence
        )
        statement = f"{found.claim.statement}.<br>*{found.claim.measured}*"
        rows.append([statement, found.claim.place, f"**{found.verdict}**", evidence or "no runs"])
    return ["## Claims", f"Of {len(judged)} claims: {counts}.", _table(rows)]


def _decisive(results: Sequence[SuiteResult]) -> list[str]:
    intervals = {
        result.suite.name: found
        for result in results
        if not result.suite.is_full_batch and (found := decisive_intervals(result))
    }
    heading = [
        "## The paper's inverse against the true minimum-norm step",
        "The paper's inverse reproduces any function-space step on the batch, but is not the "
        "Moore-Penrose inverse of the whole Jacobian, which it calls out of reach. With a small "
        "readout it is not (`gn_study.kernel`). Both have the same rates on trial.",
        decisive_answer(intervals),
    ]
    if not intervals:
        return heading
    rows = [["figure, positive where the paper's inverse is the worse one", *intervals]]
    for name, (measured, _) in DECISIVE.items():
        cells = [found[name].text() if name in found else "" for found in intervals.values()]
        rows.append([f"{name}: {measured}", *cells])
    return [*heading, _table(rows)]


def _ablations(results: Sequence[SuiteResult]) -> list[str]:
    asked = "\n".join(f"- {key}: {text}" for key, text in QUESTIONS.items())
    rows = [["", "suite", "arm", "against", "ln test loss ratio", "test loss", "ln training loss"]]
    rows += [
        [
            answer.question, answer.suite, answer.arm, answer.compared_with,
            answer.test_loss.text(), answer.words, answer.training_loss.text(),
        ]
        for answer in answers(results)
    ]  # fmt: skip
    return ["## Ablations", asked, _table(rows) if len(rows) > 1 else "None was run."]


def _suite(result: SuiteResult, plots: Sequence[str]) -> list[str]:
    suite = result.suite
    size = f"{suite.data.train:,}" if suite.data.train else "all"
    kind = "full batch" if suite.is_full_batch else "mini-batch"
    reduced = f" Reduced: {suite.reduced}." if suite.reduced else ""
    parts = [
        f"## {suite.name}",
        f"{result.data_name}, {kind}, {size} training samples, {suite.seeds} seeds.{reduced}",
        _arms_table(result),
    ]
    edges = [arm for arm in result.chosen if result.at_edge(arm)]
    if edges:
        parts.append(f"Rate chosen at the edge of what was tried: {', '.join(edges)}.")
    parts += [f"![{plot}]({plot})" for plot in plots]
    return parts


def _arms_table(result: SuiteResult) -> str:
    """Mean and interval over seeds of each arm; ablations beside the arm they change."""
    columns = {
        "training loss": at_end("train_loss"),
        "test loss": at_end("test_loss"),
        "test accuracy": at_end("test_accuracy"),
        "same batch %": mean_of_steps("same", *WHOLE),
        "other batch %": mean_of_steps("other", *WHOLE),
        "kernel alignment": at_end("ntk_similarity"),
        "moved": at_end("weight_relative"),
        "residual": mean_of_steps("residual", *WHOLE),
        "ms a step": lambda run: 1000 * at_end("step_seconds")(run),
    }
    rows = [["arm", "rate", *columns]]
    for arm, runs in result.runs.items():
        if not runs:
            continue
        rate = " → ".join(f"{value:g}" for value in runs[0].learning_rates)
        cells = []
        for figure in columns.values():
            values = result.per_seed(arm, figure)
            cells.append("" if np.isnan(values).all() else _short(Interval.over_seeds(values)))
        rows.append([arm, rate, *cells])
    return _table(rows)


def _short(interval: Interval) -> str:
    if not np.isfinite(interval.low):
        return f"{interval.mean:.3g}"
    return f"{interval.mean:.3g} ± {(interval.high - interval.low) / 2:.1g}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH)
    with atomic_file(path) as temporary, Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(temporary, format="PNG", optimize=True)
    return path
