"""Events to score, from files and frames."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import index_tables
from data.validation import InputError
from tests.data.sources.tables.conftest import LINES, MAPPING, read, reasons, source_of


@pytest.mark.parametrize("drop", [[], ["back", "shipped"]])
def test_new_events_need_neither_label_nor_later_columns(folder: Path, drop: list[str]) -> None:
    new = LINES.drop(columns=drop).assign(note="unknown to the mapping")
    new.to_csv(folder / "new.csv", index=False)
    source = source_of(MAPPING, Path("nowhere"))
    from_file = source.read_new_events(folder / "new.csv")
    from_frame = source.tables_from_frame(new.replace("-", None))
    for tables in (from_file, from_frame):
        assert tables.events.schema.equals(read(folder).events.schema, check_metadata=True)
        assert tables.events["returned"].null_count == 5
        assert tables.events["shipped"].null_count == 5
        assert set(tables.events["split"].to_pylist()) == {"test"}
        assert tables.customers.num_rows == tables.variants.num_rows == 0
        assert tables.customers.schema.equals(read(folder).customers.schema, check_metadata=True)
        assert index_tables(tables)[0].events["customer_row"].null_count == 5
    assert from_file.events.equals(from_frame.events)


def test_new_events_of_a_folder_bring_their_node_files(folder: Path) -> None:
    (folder / "goods.csv").unlink()
    tables = source_of(MAPPING, Path("nowhere")).read_new_events(folder)
    assert tables.customers["customer_key"].to_pylist() == ["anna", "ben", "dora"]
    assert tables.variants.num_rows == 0


def test_new_events_with_faulty_rows_are_set_aside_even_if_all_are(folder: Path) -> None:
    bad = LINES[:1].assign(paid="cheap")
    tables = source_of(MAPPING, folder).tables_from_frame(bad)
    assert tables.events.num_rows == 0
    assert reasons(tables) == [("events", 1, "column 'paid': not a number")]
    assert index_tables(tables)[0].events.num_rows == 0
    mixed = pd.concat([LINES, bad.assign(line="99")])
    mixed.to_csv(folder / "new.csv", index=False)
    assert source_of(MAPPING, folder).read_new_events(folder / "new.csv").rejects.num_rows == 1


def test_new_events_that_lack_a_column_are_refused(folder: Path) -> None:
    lacking = LINES.drop(columns=["paid", "day"])
    with pytest.raises(InputError, match=r"(?s)'paid': the column is missing.*'day'"):
        source_of(MAPPING, folder).tables_from_frame(lacking)


def test_frames_of_mixed_types_are_read_as_text(folder: Path) -> None:
    frame = LINES.assign(paid=pd.Series([1, "2.5", None, 3.0, "x"], dtype=object))
    frame["day"] = [datetime(2013, 1, 30, 12)] * 5
    tables = source_of(MAPPING, folder).tables_from_frame(frame)
    assert tables.events["paid"].to_pylist() == [1.0, 2.5, None, 3.0]
    assert reasons(tables) == [("events", 5, "column 'paid': not a number")]
