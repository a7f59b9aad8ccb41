"""What an audit says: findings, and how well each column alone tells the label."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from returns.audit.clustered import ClusteredEstimate
from returns.protocol import Protocol


class Severity(StrEnum):
    """How bad a finding is."""

    LEAK = "leak"
    """A model can see what was not known when the order was placed."""
    NOTE = "note"
    """Worth knowing, and no leak under the protocol."""


class Check(StrEnum):
    """What was looked for."""

    ROLE = "role"
    """A column whose role says that it is not known at the order is admitted."""
    LATER_DATE = "later date"
    """A date declared as known at the order lies after it."""
    SINGLE_COLUMN = "single column"
    """A column alone tells returned from kept better than honest columns do."""
    TRAIN_ONLY = "train only"
    """A column tells the label in training and not in the test."""
    COMPUTED = "computed from labels"
    """A column follows from labels that were not known yet."""
    SELECTION = "selection"
    """Rows were selected by the outcome."""
    HALVES = "halves"
    """Values of outcome columns in the two halves of a release."""
    MISSING_ROWS = "missing rows"
    """Whether a node row is there tells the label."""
    MISSING_VALUES = "missing values"
    """Whether a value is there tells the label."""
    FUTURE = "future cut off"
    """A column that models see changes when later events or scored labels change."""
    OVERLAP = "overlap"
    """Customers, variants and pairs that train and test share."""
    REPEATED_ROWS = "repeated rows"
    """Rows of one customer and one variant, with equal or with conflicting labels."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        check: What was looked for.
        columns: Columns or tables concerned.
        severity: Leak or note.
        figures: What was measured, by name; counts are whole numbers.
        explanation: What it means.
        remedy: What to do about it.
    """

    check: Check
    columns: tuple[str, ...]
    severity: Severity
    figures: Mapping[str, float]
    explanation: str
    remedy: str


class ColumnKind(StrEnum):
    """Where a column comes from, and what it holds."""

    NUMBER = "number"
    """Read from the source; ranks events by its value."""
    LEVEL = "level"
    """Read from the source; ranks events by the level's return rate among others."""
    DERIVED = "derived"
    """Computed by this project: history, basket, calendar."""


@dataclass(frozen=True)
class ColumnAuc:
    """How well one column alone tells returned from kept.

    Attributes:
        name: Name of the column.
        kind: Where it comes from.
        train: Area under the ROC curve on labelled training events, at least .5 for numbers.
        test: The same on labelled test events, in the direction of training.
    """

    name: str
    kind: ColumnKind
    train: ClusteredEstimate
    test: ClusteredEstimate


@dataclass(frozen=True)
class AuditReport:
    """Everything that an audit found.

    Attributes:
        protocol: What models may see.
        findings: Leaks first.
        columns: Every column that models may see, the most telling first.
    """

    protocol: Protocol
    findings: tuple[Finding, ...]
    columns: tuple[ColumnAuc, ...]

    @classmethod
    def of(
        cls, protocol: Protocol, findings: Iterable[Finding], columns: Iterable[ColumnAuc]
    ) -> "AuditReport":
        """Put findings and columns in order."""
        leaks_first = sorted(findings, key=lambda finding: finding.severity is Severity.NOTE)
        telling_first = sorted(columns, key=lambda column: -_or_zero(column.train.value))
        return cls(protocol, tuple(leaks_first), tuple(telling_first))

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that are leaks."""
        return tuple(each for each in self.findings if each.severity is Severity.LEAK)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; what is not defined is null."""
        content: dict[str, Any] = _without_nan(asdict(self))
        return content


def _or_zero(value: float) -> float:
    return 0.0 if value != value else value


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and value != value else value
