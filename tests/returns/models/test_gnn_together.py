"""Networks that score together give, to the last bit, what each gives alone."""

import numpy as np
import pytest
import torch

from data.dataset import index_tables
from data.reporter import SilentReporter
from returns.models.gnn import GNN
from returns.models.gnn_together import FEW_TARGETS, log_odds_together
from returns.preparation import Preparation
from returns.protocol import Protocol


@pytest.fixture(scope="module", params=["dated", "undated", "paper"])
def fitted(request, dated_tables, undated_tables):
    """A model of three networks, and batches of the test events; dated ones are in baskets."""
    protocol = Protocol.PAPER if request.param == "paper" else Protocol.STRICT
    tables = dated_tables if request.param == "dated" else undated_tables
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, protocol)
    train, validation, test = (
        preparation.event_set(dataset, part) for part in ("train", "validation", "test")
    )
    model = GNN(members=3, epochs=1)
    model.fit(train, validation, SilentReporter())
    return model, model._maker(test)


@pytest.mark.parametrize("number", [1, 2, 5, 20, FEW_TARGETS])
def test_no_bit_changes(fitted, number):
    model, maker = fitted
    networks = [network.eval() for network in model._networks]
    for start in range(5):
        batch = maker.batch(np.arange(start, start + number))
        with torch.inference_mode():
            together = log_odds_together(networks, batch)
            alone = torch.stack([network(batch) for network in networks])
        assert torch.equal(together, alone)
        assert len(networks) == 3 and not torch.equal(alone[0], alone[1])
