"""Roles that say a column is not known at the order, and roles that must be wrong."""

from collections.abc import Iterator

import numpy as np

from data.schema import Role, columns_with_role
from returns.audit.findings import Check, Finding, Severity
from returns.audit.subject import Subject, numbers
from returns.columns import DAYS_BEFORE_ORDER, attribute_names

NOT_KNOWN = (Role.AGGREGATE, Role.AFTER)
"""Roles of columns whose values are not known when the order is placed."""

MOST_LATER_DATES = 0.01
"""Share of events whose date may lie after the order by mistake."""


def find_outcome_columns(subject: Subject) -> Iterator[Finding]:
    """Columns of outcomes, table by table: those that models see, and those held back."""
    seen = _seen(subject)
    for table_name in ("events", "customers", "variants"):
        schema = getattr(subject.dataset, table_name).schema
        for role in NOT_KNOWN:
            names = columns_with_role(schema, [role])
            admitted = tuple(
                name for name in names if name in seen or name + DAYS_BEFORE_ORDER in seen
            )
            if admitted:
                yield Finding(
                    Check.ROLE,
                    admitted,
                    Severity.LEAK,
                    {"columns": len(admitted)},
                    f"models see columns of {table_name} with role `{role}`, which are not known "
                    "when the order is placed",
                    "Use --protocol strict",
                )
            held_back = tuple(name for name in names if name not in admitted)
            if held_back:
                yield Finding(
                    Check.ROLE,
                    held_back,
                    Severity.NOTE,
                    {"columns": len(held_back)},
                    f"columns of {table_name} with role `{role}` are held back from models",
                    "Nothing to do",
                )


def find_dates_after_the_order(subject: Subject) -> Iterator[Finding]:
    """Dates that are declared as known at the order, and lie after it."""
    if not subject.dataset.is_dated:
        return
    for name in subject.train.columns.column_names:
        if not name.endswith(DAYS_BEFORE_ORDER):
            continue
        days_before = numbers(subject.train.columns[name])
        later = float(np.mean(days_before < 0))
        if later > MOST_LATER_DATES:
            yield Finding(
                Check.LATER_DATE,
                (name.removesuffix(DAYS_BEFORE_ORDER),),
                Severity.LEAK,
                {"share of events": later},
                "its date lies after the order, so it was not known when the order was placed",
                "Declare it `after`; give a promised date as the number of days promised",
            )


def _seen(subject: Subject) -> set[str]:
    """Names of all columns that become features or virtual nodes."""
    encoder, dataset = subject.preparation.encoder, subject.dataset
    virtual = {
        name
        for table in (dataset.events, dataset.customers, dataset.variants)
        for name in attribute_names(table.schema, subject.protocol)
    }
    return {*encoder.numeric_names, *encoder.levels, *subject.train.columns.column_names} | virtual
