"""What an ablation found: as rows of figures, as a table to read, as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.files import atomic_file
from pipelines.ablations import Case
from returns.evaluation import Estimate
from returns.seed_comparison import Figures, SeedDifference, differences

DECIMALS = 5
"""Of cross-entropies, ROC AUCs and their differences in text."""


@dataclass(frozen=True)
class Measured:
    """A case, what its fits achieved and what they took.

    Attributes:
        case: The case.
        figures: On each group of events.
        seconds: Mean wall time of a fit.
    """

    case: Case
    figures: Figures
    seconds: float


@dataclass(frozen=True)
class AblationTable:
    """Cases compared with a reference, the largest rise of the cross-entropy first.

    Attributes:
        measured: The cases, in that order, the reference among them.
        differences: Of each case to the reference, by group and metric.
        reference: Name of the reference.
        num_events: Number of events of each group.
    """

    measured: Sequence[Measured]
    differences: Mapping[str, Mapping[str, Mapping[str, SeedDifference]]]
    reference: str
    num_events: Mapping[str, int]

    @classmethod
    def of(
        cls, measured: Sequence[Measured], reference: str, num_events: Mapping[str, int]
    ) -> "AblationTable":
        """Compare.

        Args:
            measured: The cases.
            reference: Name of one of them.
            num_events: Number of events of each group.
        """
        by_name = {each.case.name: each.figures for each in measured}
        found = {name: differences(each, by_name[reference]) for name, each in by_name.items()}
        ordered = sorted(
            measured,
            key=lambda each: -found[each.case.name]["all"]["cross_entropy"].estimate.value,
        )
        return cls(ordered, found, reference, num_events)

    def rows(self) -> pd.DataFrame:
        """One row per case, group and metric."""
        rows = [
            {
                "case": each.case.name,
                "model": each.case.model,
                "group": group,
                "events": self.num_events[group],
                "metric": metric,
                "value": figures.mean,
                "difference": difference.estimate.value,
                "low": difference.estimate.low,
                "high": difference.estimate.high,
                "seed_deviation": difference.seed_deviation,
                "seeds": len(figures.values),
                "fit_seconds": each.seconds,
            }
            for each in self.measured
            for group, of_group in each.figures.items()
            for metric, figures in of_group.items()
            for difference in [self.differences[each.case.name][group][metric]]
        ]
        return pd.DataFrame(rows)

    def text(self) -> pd.DataFrame:
        """One row per case to read: figures, differences with their intervals."""
        rows = {each.case.name: self._text_of(each) for each in self.measured}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("case")

    def estimates(self) -> dict[str, dict[str, dict[str, Estimate]]]:
        """Difference of each case but the reference, by group and metric."""
        return {
            each.case.name: {
                group: {metric: found.estimate for metric, found in of_group.items()}
                for group, of_group in self.differences[each.case.name].items()
            }
            for each in self.measured
            if each.case.name != self.reference
        }

    def metrics(self, split: str) -> dict[str, float]:
        """Figures of all events under names for MLflow.

        Args:
            split: What was scored.
        """
        metrics = {}
        for each in self.measured:
            for metric, figures in each.figures["all"].items():
                estimate = self.differences[each.case.name]["all"][metric].estimate
                name = f"{split}_{metric}"
                metrics[f"{name}/{each.case.name}"] = figures.mean
                for end, value in (("", estimate.value), *_ends(estimate)):
                    metrics[f"{name}_difference{end}/{each.case.name}"] = value
        return metrics

    def write(self, folder: Path, settings: Mapping[str, Any]) -> list[Path]:
        """Write `table.csv`, `table.md` and `table.json` into a folder.

        Args:
            folder: Made if it is not there; files of these names are overwritten.
            settings: What the ablation was run with, as JSON values.

        Returns:
            The files.
        """
        content = {
            "settings": settings,
            "reference": self.reference,
            "cases": [self._json_of(each) for each in self.measured],
        }
        texts = {
            "table.csv": self.rows().to_csv(index=False),
            "table.md": self.markdown(settings),
            "table.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        }
        paths = []
        for name, text in texts.items():
            with atomic_file(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
            paths.append(folder / name)
        return paths

    def markdown(self, settings: Mapping[str, Any]) -> str:
        """The table to read, below a line of what it was run with."""
        table = self.text()
        table.insert(0, "taken out or changed", [each.case.sentence for each in self.measured])
        heading = ["case", *table.columns]
        lines = [heading, ["---", "---", *["---:"] * (len(heading) - 2)]]
        lines += [
            [str(name), *row] for name, row in zip(table.index, table.to_numpy(), strict=True)
        ]
        said = ", ".join(f"{name} {value}" for name, value in settings.items())
        counts = ", ".join(f"{name} {number:,}" for name, number in self.num_events.items())
        rows = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
        return f"Difference to `{self.reference}`; {said}; events: {counts}.\n\n{rows}\n"

    def _text_of(self, each: Measured) -> dict[str, str]:
        of_case = self.differences[each.case.name]
        loss, area = of_case["all"]["cross_entropy"], of_case["all"]["roc_auc"]
        texts = {
            "cross-entropy": f"{each.figures['all']['cross_entropy'].mean:.{DECIMALS}f}",
            "difference [95 %]": _interval(loss.estimate),
            "s.d. over seeds": _deviation(loss),
        }
        for group in of_case:
            if group != "all":
                texts[f"{group} customers"] = _interval(of_case[group]["cross_entropy"].estimate)
        return texts | {
            "ROC AUC": f"{each.figures['all']['roc_auc'].mean:.{DECIMALS}f}",
            "AUC difference [95 %]": _interval(area.estimate),
            "fit s": f"{each.seconds:.1f}",
        }

    def _json_of(self, each: Measured) -> dict[str, Any]:
        return {
            **asdict(each.case),
            "fit_seconds": each.seconds,
            "groups": {
                group: {
                    metric: {
                        "values": [_or_null(value) for value in figures.values.tolist()],
                        "difference": _difference_json(
                            self.differences[each.case.name][group][metric]
                        ),
                    }
                    for metric, figures in of_group.items()
                }
                for group, of_group in each.figures.items()
            },
        }


def _difference_json(difference: SeedDifference) -> dict[str, float | None]:
    found = {**asdict(difference.estimate), "seed_deviation": difference.seed_deviation}
    return {name: _or_null(value) for name, value in found.items()}


def _or_null(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value


def _ends(estimate: Estimate) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("_low", estimate.low), ("_high", estimate.high)


def _deviation(difference: SeedDifference) -> str:
    deviation = difference.seed_deviation
    return "one seed" if np.isnan(deviation) else f"{deviation:.{DECIMALS}f}"


def _interval(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "undefined"
    value, low, high = (
        f"{number:+.{DECIMALS}f}" for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"
