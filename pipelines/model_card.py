"""What a registered version carries: tags for machines, and a model card for people."""

from collections.abc import Mapping, Sequence

from data.dataset import Manifest
from data.schema import SPLITS
from pipelines.code_version import code_version
from pipelines.experiment import Experiment, Outcome
from returns.evaluation import Estimate, GroupReport
from returns.protocol import Protocol

TAGGED_METRICS = ("f1", "cross_entropy", "roc_auc", "brier", "ece")

SHOWN = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "f1_at_threshold": "F1 at threshold",
    "cross_entropy": "cross-entropy",
    "roc_auc": "ROC AUC",
    "brier": "Brier",
    "ece": "ECE",
}
"""Metrics of the card and their names."""

SHOWN_OF_GROUPS = {name: SHOWN[name] for name in ("f1", "cross_entropy", "roc_auc", "ece")}

ADMITTED = {
    Protocol.STRICT: "It saw only what was known when an order was placed.",
    Protocol.PAPER: (
        "It saw return rates computed over the label's own period: comparable with the published "
        "table of GraphReturns, and of no use for real orders."
    ),
}


def version_tags(outcome: Outcome, experiment: Experiment, manifest: Manifest) -> dict[str, str]:
    """What a version carries: protocol, source, model, data, code and the figures of the test.

    Args:
        outcome: The trained model and its reports.
        experiment: What it was trained in.
        manifest: Of the dataset.
    """
    metrics = {
        f"test_{name}": f"{outcome.test.overall.metrics[name].value:.6f}" for name in TAGGED_METRICS
    }
    return {
        "protocol": experiment.protocol.value,
        "source": experiment.source,
        "model": outcome.predictor.model.name,
        "dataset_digest": manifest.digest,
        "code_version": code_version(),
        **_days(manifest),
        **metrics,
    }


def model_card(outcome: Outcome, experiment: Experiment, manifest: Manifest) -> str:
    """What the model is, of which data, where its limits are, and how good it was on the test.

    Args:
        outcome: The trained model and its reports.
        experiment: What it was trained in.
        manifest: Of the dataset.

    Returns:
        Markdown; the slices, known and new customers first, stand last.
    """
    predictor = outcome.predictor
    calibration = predictor.calibration
    chosen_by = "largest F1 on validation" if experiment.costs is None else "where it pays"
    sections = [
        f"# {predictor.model.name}: probability that an order line is returned",
        f"Source {experiment.subject}, protocol {experiment.protocol.value}. "
        f"{ADMITTED[experiment.protocol]} Decides for a return from a probability of "
        f"{calibration.threshold:.4f} ({chosen_by}), after a temperature of "
        f"{calibration.temperature:.3f}. Code {code_version()}.",
        "## Data",
        f"Dataset `{manifest.digest}`.",
        _split_table(manifest),
        "## Limits",
        _limits(experiment, manifest),
        "## Test",
        _metric_table(outcome.test.overall),
    ]
    slices = sorted(outcome.test.slices.items(), key=lambda item: item[0] != "customer")
    for name, groups in slices:
        sections += [f"## By {name}", _group_table(name, groups)]
    return "\n\n".join(sections) + "\n"


def _days(manifest: Manifest) -> dict[str, str]:
    """First days of the parts and last day of the data, where it is split by time."""
    names = ("train_from", "validation_from", "test_from", "last_day")
    numbers = {name: str(manifest.counts[name]) for name in names if name in manifest.counts}
    return {name: f"{day[:4]}-{day[4:6]}-{day[6:]}" for name, day in numbers.items()}


def _split_table(manifest: Manifest) -> str:
    days, counts = _days(manifest), manifest.counts
    rows = [
        (
            split,
            days.get(f"{split}_from", ""),
            f"{counts[f'events_{split}']:,}",
            f"{counts[f'labelled_{split}']:,}",
            _rate(manifest.return_rate(split)),
        )
        for split in SPLITS
    ]
    return _table(("part", "from", "order lines", "with outcome", "returned"), rows)


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.3f}"


def _limits(experiment: Experiment, manifest: Manifest) -> str:
    lines = [
        "Holds for order lines of the same retailer and period; what drifts since then is not in "
        "the figures.",
        "Customers and variants without a past are scored from attributes alone: see the slice of "
        "new customers.",
    ]
    if experiment.source == "twin":
        lines.append("The data are synthetic: the figures say nothing of real customers.")
    if manifest.missing_rows_leak:
        lines.append(
            f"Node tables whose missing rows tell of the outcome: "
            f"{', '.join(manifest.missing_rows_leak)}."
        )
    return "\n".join(f"- {line}" for line in lines)


def _metric_table(report: GroupReport) -> str:
    rows = [
        (title, f"{(estimate := report.metrics[name]).value:.4f}", _interval(estimate))
        for name, title in SHOWN.items()
    ]
    return _table(("metric", "value", "95 % over customers"), rows)


def _group_table(name: str, groups: Mapping[str, GroupReport]) -> str:
    rows = [
        (
            group,
            f"{report.num_events:,}",
            f"{report.base_rate:.3f}",
            *(f"{report.metrics[metric].value:.4f}" for metric in SHOWN_OF_GROUPS),
        )
        for group, report in groups.items()
    ]
    return _table((name, "order lines", "returned", *SHOWN_OF_GROUPS.values()), rows)


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
