"""From a source's own keys to contiguous indices and row references, vectorised in Arrow."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def index_keys(
    node_keys: pa.ChunkedArray, event_keys: pa.ChunkedArray
) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct keys of node rows, then those that occur in events alone.

    Args:
        node_keys: Key of each node row; a key may occur several times.
        event_keys: Key of each event, of the same type.

    Returns:
        Index of each node row, int64 `(num_node_rows,)`, and of each event, int64
        `(num_events,)`; the indices are `0 .. number of distinct keys - 1`.
    """
    keys = pa.chunked_array([*node_keys.chunks, *event_keys.chunks], type=event_keys.type)
    encoded = keys.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    index = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    return index[: len(node_keys)], index[len(node_keys) :]


def index_rows(
    node_of_row: np.ndarray,
    period_of_row: pa.ChunkedArray | None,
    node_of_event: np.ndarray,
    period_of_event: pa.ChunkedArray | None,
) -> pa.Array:
    """Find each event's row in a node table, in the event's own period where rows have one.

    Args:
        node_of_row: Node index of each row, int64 `(num_rows,)`.
        period_of_row: Period of each row, or None where the table has none.
        node_of_event: Node index of each event, int64 `(num_events,)`.
        period_of_event: Period of each event, or None.

    Returns:
        Row number per event, int64 `(num_events,)`, null where there is no row.
    """
    row_code, event_code = node_of_row, node_of_event
    if period_of_row is not None and period_of_event is not None:
        both = [*period_of_row.chunks, *period_of_event.chunks]
        periods = pc.unique(pa.chunked_array(both, pa.string()))
        row_code = node_of_row * len(periods) + _codes(period_of_row, periods)
        event_code = node_of_event * len(periods) + _codes(period_of_event, periods)
    size = int(max(row_code.max(initial=-1), event_code.max(initial=-1))) + 1
    row_of_code = np.full(size, -1, dtype=np.int64)
    row_of_code[row_code] = np.arange(len(row_code))
    rows = row_of_code[event_code]
    return pa.array(rows, mask=rows < 0)


def _codes(values: pa.ChunkedArray, levels: pa.Array) -> np.ndarray:
    codes = pc.index_in(values, value_set=levels)
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)
