import numpy as np
import pytest

from data.dataset import Dataset
from data.schema import Role
from returns.audit.findings import Finding, Severity
from returns.audit.roles import find_dates_after_the_order, find_outcome_columns
from returns.audit.subject import Subject
from returns.knowledge import EventArrays
from returns.protocol import Protocol


def outcomes(dataset: Dataset, protocol: Protocol) -> list[Finding]:
    return list(find_outcome_columns(Subject.prepare(dataset, protocol, 0)))


def test_paper_admits_every_aggregate_of_the_twin(twin):
    found = outcomes(twin, Protocol.PAPER)
    assert all(finding.severity is Severity.LEAK for finding in found)
    admitted = {name for finding in found for name in finding.columns}
    assert len(admitted) == 16 + 17
    assert {"customer_return_rate", "variant_return_code_e", "top_return_reason"} <= admitted


def test_strict_holds_back_aggregates_and_what_comes_after(dated, undated):
    (of_events, of_customers) = outcomes(dated, Protocol.STRICT)
    assert of_events.columns == ("delivered",)
    assert of_customers.columns == ("customer_return_rate",)
    for finding in (of_events, of_customers, *outcomes(undated, Protocol.STRICT)):
        assert finding.severity is Severity.NOTE


def test_a_protocol_that_admits_what_comes_after_is_found(dated, monkeypatch):
    from returns import protocol

    roles = protocol.KNOWN_AT_THE_ORDER | {Role.AFTER}
    monkeypatch.setattr(protocol, "KNOWN_AT_THE_ORDER", roles)
    found = outcomes(dated, Protocol.STRICT)
    leaks = [finding.columns for finding in found if finding.severity is Severity.LEAK]
    assert leaks == [("delivered",)]


@pytest.mark.parametrize(("share", "is_leak"), [(1.0, True), (0.05, True), (0.0, False)])
def test_a_date_after_the_order_was_not_known(dated, plant, share, is_leak):
    random = np.random.default_rng(0)
    day = EventArrays.of(dated).day
    later = random.random(len(day)) < share
    dates = (day + np.where(later, 3, -300)).astype("datetime64[D]")
    subject = Subject.prepare(plant(dated, dates, name="shipped"), Protocol.STRICT, 0)
    found = [finding.columns for finding in find_dates_after_the_order(subject)]
    assert found == ([("shipped",)] if is_leak else [])
