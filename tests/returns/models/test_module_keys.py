"""Columns may have any name, whatever torch makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.models.base import ReturnClassifier
from returns.models.gnn import GNN
from returns.models.module_keys import ESCAPED, module_key
from returns.models.sage import SAGE
from returns.preparation import Preparation
from returns.protocol import Protocol

REFUSED = ("a.b", "type", "training", "half", "items", "_modules", "")
NAMES = st.text(alphabet=st.sampled_from("ab.~-")) | st.sampled_from(REFUSED)
ESCAPED_NAMES = st.tuples(st.just(ESCAPED), NAMES).map("".join)


@given(names=st.sets(NAMES | ESCAPED_NAMES, max_size=8))
@example(names={"a.b", "a~-b", "a~~-b", "a~.b"})
def test_every_name_has_a_key_of_its_own(names: set[str]) -> None:
    modules = nn.ModuleDict({module_key(name): nn.Linear(1, 1) for name in names})
    assert len(modules) == len(names)


@given(name=st.text())
def test_names_that_torch_takes_are_their_own_keys(name: str) -> None:
    """Else weights stored before could not be read."""
    try:
        nn.ModuleDict({name: nn.Linear(1, 1)})
    except KeyError:
        return
    assert name.startswith(ESCAPED) or module_key(name) == name


@pytest.mark.parametrize("model", [SAGE(epochs=1), GNN(epochs=1, members=2)], ids=["sage", "gnn"])
def test_networks_learn_from_columns_of_any_name(
    dated_tables, model: ReturnClassifier, tmp_path
) -> None:
    names = {"product": "product.id", "size": "type"}
    variants = dated_tables.variants.rename_columns(
        [names.get(name, name) for name in dated_tables.variants.column_names]
    )
    customers = dated_tables.customers.rename_columns(
        ["half" if name == "country" else name for name in dated_tables.customers.column_names]
    )
    tables = replace(dated_tables, variants=variants, customers=customers)
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    # As if they had too many levels to be features.
    relations = (*preparation.keys.relations, *names.values(), "half")
    preparation = replace(preparation, keys=replace(preparation.keys, relations=relations))
    train, validation, test = (
        preparation.event_set(dataset, part) for part in ("train", "validation", "test")
    )
    model.fit(train, validation, SilentReporter())
    model.save(tmp_path)
    expected = model.predict_proba(test)
    assert ((expected > 0) & (expected < 1)).all()
    assert np.array_equal(type(model).load(tmp_path).predict_proba(test), expected)
