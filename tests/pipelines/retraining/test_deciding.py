import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from data.dataset import index_tables
from pipelines.retraining.deciding import Findings
from pipelines.retraining.drifting import BASE_RATE, SCORES, drift_of_test
from returns.drift import Drift, Level
from returns.promotion import decide


def drift(level: Level, psi: float) -> Drift:
    return Drift(psi, 0.01, 0.02, level, ("a", "b"), (0.5, 0.5), (0.4, 0.6))


def test_findings_survive_json():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    probability = random.random((2, 200))
    decision = decide(
        labels,
        np.arange(200),
        (probability[0], 0.5),
        (probability[1], 0.4),
        {"market": np.where(labels == 1, "north", "south")},
        replicates=40,
    )
    findings = Findings(
        challenger="gnn",
        champion="3",
        promote=decision.promote,
        reasons=decision.reasons,
        comparison=decision.table,
        drifts={"price": drift(Level.MINOR, 0.05)},
    )
    again = Findings.from_json(json.loads(json.dumps(findings.to_json())))
    pd.testing.assert_frame_equal(again.comparison, findings.comparison)
    assert replace(again, comparison=findings.comparison) == findings


def test_what_moved_is_named_the_furthest_first():
    levels = {
        "price": drift(Level.MINOR, 0.05),
        "size": drift(Level.STABLE, 0.2),
        "item": drift(Level.MAJOR, 0.9),
    }
    findings = Findings("gnn", None, False, (), pd.DataFrame(), levels)
    assert findings.decision == "kept"
    assert findings.moved == {"item": "major (PSI 0.900)", "price": "minor (PSI 0.050)"}


def test_columns_base_rate_and_scores_are_watched(dated):
    test = dated.split_mask("test")
    learned = dated.split_mask("train")
    keys = dated.events["row_id"].filter(pa.array(dated.split_mask("validation")))
    random = np.random.default_rng(0)
    before = pa.table({"row_id": keys, "probability": random.random(len(keys)) / 2})
    unknown = pa.table({"row_id": [10**9], "probability": [0.5]})
    drifts = drift_of_test(
        dated, learned, pa.concat_tables([before, unknown]), random.random(test.sum()) / 2 + 0.5
    )
    assert {"order_price", "country", "size", "price", BASE_RATE, SCORES} <= set(drifts)
    assert drifts[SCORES].level is Level.MAJOR
    assert "delivered" not in drifts
    assert drifts[BASE_RATE].bins == ("to 0", "over 0") or len(drifts[BASE_RATE].bins) == 2


def test_labels_that_are_not_known_yet_are_no_base_rate(dated_tables, relabel):
    returned = dated_tables.events["returned"].to_numpy().astype(object)
    rows = np.flatnonzero(dated_tables.events["split"].to_numpy() == "test")
    returned[rows[:20]] = 1
    returned[rows[20:]] = None
    dataset, _ = index_tables(relabel(dated_tables, returned.tolist()))
    drifts = drift_of_test(dataset, dataset.split_mask("train"), None, None)
    assert drifts[BASE_RATE].current[-1] == 1.0
    assert SCORES not in drifts
