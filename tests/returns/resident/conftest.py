"""Fitted predictors of small synthetic sources."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data.dataset import index_tables
from data.reporter import SilentReporter
from data.sources.base import SourceTables
from returns.calibration import Calibration
from returns.memory import Memory
from returns.models.registry import create
from returns.predictor import ReturnPredictor
from returns.preparation import Preparation
from returns.protocol import Protocol


def with_column(events: pa.Table, name: str, values: object) -> pa.Table:
    """The table with other values of the same type in a column."""
    position = events.column_names.index(name)
    field = events.schema.field(name)
    return events.set_column(position, field, pa.array(values, field.type))


def fitted(tables: SourceTables, protocol: Protocol, delay: int, name: str) -> ReturnPredictor:
    """A predictor whose model was fitted for one epoch."""
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, protocol, delay)
    train, validation = (preparation.event_set(dataset, s) for s in ("train", "validation"))
    model = create(name, epochs=1)
    model.fit(train, validation, SilentReporter())
    calibration = Calibration.fit(validation.labels, model.predict_proba(validation))
    memory = Memory.of(dataset, protocol)
    return ReturnPredictor("synthetic", {}, preparation, memory, model, calibration)


@pytest.fixture(scope="session")
def tables_of(dated_tables, undated_tables) -> Callable[[str], SourceTables]:
    """Tables of a kind; of dated orders some prices are unknown, of open ones some labels too."""
    price = dated_tables.events["order_price"].to_numpy().copy()
    price[::7] = np.nan
    dated = replace(dated_tables, events=with_column(dated_tables.events, "order_price", price))
    returned = dated.events["returned"].to_numpy().astype(object)
    is_test = dated.events["split"].to_numpy() == "test"
    returned[::9] = None
    returned[np.flatnonzero(~is_test)[-150:]] = None
    open_ = replace(dated, events=with_column(dated.events, "returned", returned.tolist()))
    return {"dated": dated, "open": open_, "undated": undated_tables}.__getitem__
