"""The audit: every check on one dataset under one protocol."""

from collections.abc import Callable, Iterator

from data.dataset import Dataset
from data.reporter import Reporter, SilentReporter
from returns.audit.computed import find_columns_computed_from_labels
from returns.audit.findings import AuditReport, Finding
from returns.audit.future import find_columns_that_hear_the_future
from returns.audit.halves import find_values_of_both_halves
from returns.audit.missing import find_telling_missing_rows, find_telling_missing_values
from returns.audit.overlap import describe_overlap, describe_repeated_rows
from returns.audit.roles import find_dates_after_the_order, find_outcome_columns
from returns.audit.single_columns import column_aucs, find_telling_columns
from returns.audit.subject import Subject
from returns.audit.totals import find_totals_that_hold_the_labels
from returns.protocol import Protocol

CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    find_outcome_columns,
    find_dates_after_the_order,
    find_columns_computed_from_labels,
    find_totals_that_hold_the_labels,
    find_values_of_both_halves,
    find_telling_missing_rows,
    find_telling_missing_values,
    find_columns_that_hear_the_future,
    describe_overlap,
    describe_repeated_rows,
)
"""The checks that need nothing but the subject, in the order of the report."""


def audit(
    dataset: Dataset,
    protocol: Protocol,
    label_delay_days: int = 0,
    reporter: Reporter | None = None,
) -> AuditReport:
    """Look for whatever tells a label before its time.

    Args:
        dataset: All events and node rows.
        protocol: What models may see; its features are built as for training.
        label_delay_days: Days after the order until its label is known (dated data).
        reporter: Told of progress.

    Raises:
        ValueError: There is no training event, or its labels are all alike.
    """
    reporter = reporter or SilentReporter()
    subject = Subject.prepare(dataset, protocol, label_delay_days)
    columns = column_aucs(subject)
    findings = list(find_telling_columns(columns))
    for number, check in enumerate(CHECKS):
        reporter.progress("audit", number, len(CHECKS))
        findings += check(subject)
    reporter.progress("audit", len(CHECKS), len(CHECKS))
    return AuditReport.of(protocol, findings, columns)
