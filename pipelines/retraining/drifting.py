"""What a cycle watches for drift: feature columns, the champion's scores, the base rate."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.dataset import Dataset
from returns.columns import event_columns
from returns.drift import Drift, Pair, Sample, column_pairs, measure_drift
from returns.knowledge import EventArrays
from returns.protocol import Protocol

BASE_RATE = "returned (base rate)"
SCORES = "score of the champion"


def drift_of_test(
    dataset: Dataset,
    learned: np.ndarray,
    before: pa.Table | None,
    now: np.ndarray | None,
) -> dict[str, Drift]:
    """Compare the test with what the champion learned from, and its scores with those on its test.

    Args:
        dataset: All events.
        learned: Events that the champion learned from, bool `(num_events,)`.
        before: `row_id` and `probability` of the events of the champion's own test; None if there
            is no champion or they are not known.
        now: Probability of each test event by the champion, `(num_test,)`; None if there is none.

    Returns:
        The drift of each feature column, of the base rate and, where known, of the scores.
    """
    events = EventArrays.of(dataset)
    reference, current = np.flatnonzero(learned), np.flatnonzero(dataset.split_mask("test"))
    tables = [event_columns(dataset, Protocol.STRICT, rows) for rows in (reference, current)]
    customers = [events.customer[rows] for rows in (reference, current)]
    pairs = column_pairs(tables[0], customers[0], tables[1], customers[1])
    labelled = [rows[events.returned[rows] >= 0] for rows in (reference, current)]
    old, new = (_sample(events.returned[rows], events, rows) for rows in labelled)
    pairs[BASE_RATE] = Pair(old, new, categorical=False)
    if before is not None and now is not None:
        keys = dataset.events["row_id"].combine_chunks()
        place = pc.index_in(before["row_id"], value_set=keys)
        known = pc.is_valid(place)
        rows = place.filter(known).to_numpy()
        old = _sample(before["probability"].filter(known).to_numpy(), events, rows)
        pairs[SCORES] = Pair(old, _sample(now, events, current), categorical=False)
    return measure_drift(pairs)


def _sample(values: np.ndarray, events: EventArrays, rows: np.ndarray) -> Sample:
    return Sample(pa.chunked_array([pa.array(values)]), events.customer[rows])
