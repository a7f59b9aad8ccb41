import numpy as np
import pytest

from data.dataset import Dataset, index_tables
from data.schema import Role
from returns.audit.findings import Check, ColumnAuc, ColumnKind
from returns.audit.single_columns import column_aucs, find_telling_columns
from returns.audit.subject import Subject
from returns.knowledge import EventArrays
from returns.protocol import Protocol


def measured(dataset: Dataset) -> dict[str, ColumnAuc]:
    return {each.name: each for each in column_aucs(Subject.prepare(dataset, Protocol.STRICT, 0))}


def found(dataset: Dataset) -> list[tuple[Check, tuple[str, ...]]]:
    return [(each.check, each.columns) for each in find_telling_columns(measured(dataset).values())]


@pytest.fixture
def dataset(make_tables) -> Dataset:
    return index_tables(make_tables())[0]


def test_every_column_that_models_see_is_measured(dataset):
    columns = measured(dataset)
    subject = Subject.prepare(dataset, Protocol.STRICT, 0)
    encoder = subject.preparation.encoder
    assert set(columns) >= {*encoder.numeric_names, *encoder.levels, "product", "country"}
    assert set(columns) >= set(subject.train.derived)
    assert not {"customer_return_rate", "delivered", "returned"} & set(columns)
    derived = {name for name, column in columns.items() if column.kind is ColumnKind.DERIVED}
    assert derived == set(subject.train.derived)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_copy_of_the_label_tells_everything_in_either_direction(dataset, plant, sign):
    leaking = plant(dataset, sign * EventArrays.of(dataset).returned.astype(np.float64))
    column = measured(leaking)["planted"]
    assert column.train.value == column.test.value == 1
    assert found(leaking) == [(Check.SINGLE_COLUMN, ("planted",))]


def test_levels_filled_in_after_the_return_are_found(dataset, plant):
    returned = EventArrays.of(dataset).returned
    status = np.random.default_rng(0).choice(["a", "b"], len(returned)).astype(object)
    often = np.random.default_rng(1).random(len(returned)) < 0.8
    status[(returned == 1) & often] = "refunded"
    leaking = plant(dataset, status)
    assert measured(leaking)["planted"].kind is ColumnKind.LEVEL
    assert found(leaking) == [(Check.SINGLE_COLUMN, ("planted",))]


def test_a_level_of_every_customer_tells_nothing_of_other_customers(dataset, plant):
    """Were a level's rate to hold the event's own label, it would tell it here."""
    names = np.char.add("name ", EventArrays.of(dataset).customer.astype(str))
    column = measured(plant(dataset, names))["planted"]
    assert column.train.value == 0.5


def test_what_tells_the_label_in_training_alone_is_found(dataset, plant):
    random = np.random.default_rng(0)
    values = random.normal(size=dataset.events.num_rows)
    training = dataset.split_mask("train")
    returned = EventArrays.of(dataset).returned
    assert not found(plant(dataset, values))
    values[training] += 0.5 * returned[training]
    assert found(plant(dataset, values)) == [(Check.TRAIN_ONLY, ("planted",))]


def test_honest_columns_are_not_found(dataset, plant):
    """As telling as the best honest columns of real orders: .63."""
    random = np.random.default_rng(0)
    returned = EventArrays.of(dataset).returned
    values = random.normal(size=len(returned)) + 0.48 * returned
    honest = plant(dataset, values)
    assert measured(honest)["planted"].train.value > 0.6
    assert not found(honest)


def test_an_unknown_value_is_left_out(dataset, plant):
    returned = EventArrays.of(dataset).returned.astype(np.float64)
    half_known = np.where(np.arange(len(returned)) % 2 == 0, returned, np.nan)
    assert measured(plant(dataset, half_known))["planted"].train.value == 1
    nothing_known = measured(plant(dataset, np.full(len(returned), np.nan)))["planted"]
    assert np.isnan(nothing_known.train.value)
    assert not found(plant(dataset, np.full(len(returned), np.nan)))


def test_columns_of_nodes_are_judged_too(dataset, plant):
    row = dataset.events["customer_row"].fill_null(-1).to_numpy()
    known = row >= 0
    returned = dataset.events["returned"].to_numpy()[known]
    size = dataset.customers.num_rows
    with np.errstate(invalid="ignore"):
        rate = np.bincount(row[known], returned, size) / np.bincount(row[known], minlength=size)
    leaking = plant(dataset, rate, "customers", "planted", Role.PROFILE)
    assert (Check.SINGLE_COLUMN, ("planted",)) in found(leaking)
