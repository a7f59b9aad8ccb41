"""The study of quantisation: the published MLPNet in few bits, dense and pruned."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import pandas as pd
from rich.console import Console

from compression.errors import DivergedError
from compression.studies.evaluation import evaluate
from compression.studies.quantisation import QUANTISERS, quantised_networks
from data.files import atomic_file
from pipelines import tracking
from pipelines.compression_study.comparison import EXPERIMENT
from pipelines.compression_study.mlpnet import MLPNetStudy
from pipelines.compression_study.profiles import ProfileName
from pipelines.compression_study.table import for_terminal, markdown
from pipelines.home import Home
from pipelines.progress import ProgressReporter, progress_display

BITS = (8, 4, 3, 2)


@dataclass(frozen=True)
class QuantisationPlan:
    """What is measured; all in one go, as it takes minutes.

    Attributes:
        sparsities: Shares of weights that are removed before.
        dampings: Tried by every way that heeds curvature.
        seeds: Of data order and learning.
        num_images: Training images that are used; None for all.
        num_held_out: Training images that dampings are chosen by.
    """

    sparsities: tuple[float, ...]
    dampings: tuple[float, ...]
    seeds: tuple[int, ...]
    num_images: int | None
    num_held_out: int


_WHOLE = QuantisationPlan((0.0, 0.8), (1e-3, 1e-2, 1e-1), (0, 1, 2), None, 5000)

PLANS: Mapping[ProfileName, QuantisationPlan] = MappingProxyType(
    {
        "smoke": QuantisationPlan((0.0,), (1e-2,), (0,), 3000, 1000),
        "cpu": _WHOLE,
        "full": _WHOLE,
    }
)


def quantise_mlpnet(
    study: MLPNetStudy, plan: QuantisationPlan, name: str, home: Home, console: Console
) -> None:
    """Measure all, print, record.

    Args:
        study: Network and images.
        plan: What is measured.
        name: Of the run, and of the folder of its tables.
        home: Where tables are kept.
        console: Told of progress and result.
    """
    tracking.connect(home, EXPERIMENT)
    with (
        progress_display(console) as progress,
        tracking.run(name, {**asdict(plan), **study.described}, {"study": "quantisation"}),
    ):
        rows = pd.DataFrame(_measured(study, plan, ProgressReporter(progress)))
        chosen = with_chosen_damping(rows)
        dense = study.dense_figures()["test_accuracy"]
        out = home.compression / name
        texts = {"cells.csv": rows.to_csv(index=False), "tables.md": _markdown(chosen, dense)}
        for file, text in texts.items():
            with atomic_file(out / file) as partial:
                partial.write_text(text, encoding="utf-8")
            tracking.log_file(out / file, "tables")
        tracking.log_metrics(_metrics(chosen))
    _print(chosen, dense, console)
    console.print(f"tables: {out}", soft_wrap=True)


def with_chosen_damping(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each way, sparsity and number of bits the damping of highest mean held-out accuracy.

    Args:
        rows: Columns `method`, `sparsity`, `bits`, `damping`, `seed`, `held_out_accuracy` and
            `test_accuracy`.

    Returns:
        A row each, with `damping`, `held_out_accuracy`, `test_accuracy` and its standard deviation
        over seeds, `deviation`.
    """
    cell = ["method", "sparsity", "bits"]
    means = rows.groupby([*cell, "damping"], sort=False).agg(
        held_out_accuracy=("held_out_accuracy", "mean"),
        test_accuracy=("test_accuracy", "mean"),
        deviation=("test_accuracy", "std"),
    )
    best = means.groupby(cell, sort=False)["held_out_accuracy"].idxmax()
    return means.loc[best].reset_index()


def _measured(
    study: MLPNetStudy, plan: QuantisationPlan, reporter: ProgressReporter
) -> Iterator[dict[str, str | float]]:
    tasks = [
        (name, damping, seed)
        for name in QUANTISERS
        for damping in plan.dampings
        for seed in plan.seeds
    ]
    for done, (name, damping, seed) in enumerate(tasks):
        reporter.progress("quantise", done, len(tasks))
        settings = (QUANTISERS[name], damping, plan.sparsities, BITS, seed)
        try:
            for found in quantised_networks(study.subject(seed), *settings):
                yield {
                    **{"method": name, "sparsity": found.sparsity, "bits": found.bits},
                    **{"damping": damping, "seed": seed},
                    "held_out_accuracy": evaluate(found.network, study.held_out).accuracy,
                    "test_accuracy": evaluate(found.network, study.test).accuracy,
                }
        except DivergedError:
            continue
    reporter.progress("quantise", len(tasks), len(tasks))


def _readable(chosen: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in %, a row for each way and sparsity, a column for each number of bits."""
    texts = {
        (f"{row['method']}, {row['sparsity']:.0%} removed", f"{row['bits']} bits"): (
            f"{100 * row['test_accuracy']:.2f} ± {100 * row['deviation']:.2f}"
            if row["deviation"] == row["deviation"]
            else f"{100 * row['test_accuracy']:.2f}"
        )
        for row in chosen.sort_values("sparsity", kind="stable").to_dict("records")
    }
    lines = list(dict.fromkeys(line for line, _ in texts))
    columns = [f"{bits} bits" for bits in BITS]
    cells = [[texts.get((line, column), "") for column in columns] for line in lines]
    return pd.DataFrame(cells, index=pd.Index(lines, name="method"), columns=columns)


def _markdown(chosen: pd.DataFrame, dense: float) -> str:
    heading = f"MLPNet on MNIST, test accuracy in %; dense in 32 bits: {100 * dense:.2f}.\n"
    ways = "".join(f"- {name}: {way.sentence}\n" for name, way in QUANTISERS.items())
    return "\n".join([heading, markdown(_readable(chosen)), ways])


def _metrics(chosen: pd.DataFrame) -> dict[str, float]:
    return {
        f"test_accuracy/{row['method']}/{row['bits']}-bit/{100 * row['sparsity']:g}": row[
            "test_accuracy"
        ]
        for row in chosen.to_dict("records")
    }


def _print(chosen: pd.DataFrame, dense: float, console: Console) -> None:
    console.print(f"MLPNet on MNIST, test accuracy in %; dense in 32 bits: {100 * dense:.2f}")
    console.print(for_terminal(_readable(chosen)))
