import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.score_files import score_file, with_json_lists

REASON = pa.struct([("cause", pa.string()), ("value", pa.string()), ("log_odds", pa.float64())])
REASONS = [
    [
        {"cause": 'a "quoted" one', "value": "back\\slash,\nline", "log_odds": -1.25e-9},
        {"cause": "grüße", "value": None, "log_odds": 0.1 + 0.2},
    ],
    [],
    [{"cause": "price", "value": "19.9", "log_odds": 3.0}],
]


def rows(first: int, last: int) -> pa.Table:
    return pa.table({"row_id": list(range(first, last)), "probability": [0.5] * (last - first)})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_become_one_file(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    with score_file(out) as file:
        for first, last in ((0, 3), (3, 3), (3, 5)):
            file.write(rows(first, last))
        assert not out.exists()
    found = pd.read_csv(out) if suffix == ".csv" else pq.read_table(out).to_pandas()
    assert file.num_rows == 5
    pd.testing.assert_frame_equal(found, rows(0, 5).to_pandas())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_without_rows_has_its_columns(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    with score_file(out) as file:
        file.write(rows(0, 0))
    found = pd.read_csv(out) if suffix == ".csv" else pq.read_table(out).to_pandas()
    assert list(found.columns) == ["row_id", "probability"]
    assert found.empty


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_ends_midway_leaves_what_was_there(tmp_path, suffix):
    out = tmp_path / f"scores{suffix}"
    out.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), score_file(out) as file:
        file.write(rows(0, 3))
        raise KeyboardInterrupt
    assert out.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [out]


def test_lists_are_read_back_from_their_json():
    lists = pa.array([[], *REASONS, []], pa.list_(REASON))[1:4]
    table = pa.table({"reasons": pa.chunked_array([lists[:1], lists[1:]])})
    (column,) = with_json_lists(table).columns
    assert [json.loads(text) for text in column.to_pylist()] == REASONS
