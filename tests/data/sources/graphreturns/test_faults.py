"""Faults of a release are named, and faulty rows kept aside."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.sources.graphreturns import GraphReturns
from tests.data.sources.graphreturns.conftest import SILENT, SIX, Frames, Writer, faults, read


def test_all_faults_of_all_files_come_together(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    release["event_table_training"] = release["event_table_training"].head(0)
    release["event_table_testing"]["isReturned"] = "perhaps"
    release["customer_nodes_training"] = release["customer_nodes_training"].drop(
        columns=["premier", "Country_E"]
    )
    nodes = release["customer_nodes_testing"]
    release["customer_nodes_testing"] = pd.concat([nodes, nodes[["isMale"]]], axis=1)
    release["product_nodes_training"]["avgGbpPrice"] = "£9"
    write(release, tmp_path)
    cut = tmp_path / "product_nodes_testing.csv"
    cut.write_bytes(cut.read_bytes()[:-100])
    found = faults(lambda: read(tmp_path))
    expected = [
        ("event_table_training.csv", "no rows"),
        ("event_table_testing.csv", "column 'isReturned': no value is a whole number"),
        ("customer_nodes_training.csv", "column 'premier': the column is missing"),
        ("customer_nodes_training.csv", "column 'Country_E': the column is missing"),
        ("customer_nodes_testing.csv", "column 'isMale': the column is there twice"),
        ("product_nodes_training.csv", "column 'avgGbpPrice': no value is a number"),
        ("product_nodes_testing.csv", "ends in the middle of a row"),
    ]
    assert len(found) == len(expected)
    for fault, (file, message) in zip(found, expected, strict=True):
        assert fault.startswith(file)
        assert message in fault


def test_truncated_and_hostile_pickles_are_reported_with_the_rest(
    release: Frames, write: Writer, tmp_path: Path
) -> None:
    write(release, tmp_path, ".p")
    cut = tmp_path / "customer_nodes_testing.p"
    cut.write_bytes(cut.read_bytes()[:1000])
    (tmp_path / "event_table_training.p").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    found = faults(lambda: read(tmp_path))
    assert len(found) == 2
    assert "'os.system'" in found[0]
    assert "customer_nodes_testing.p" in found[1]


def test_missing_files_are_all_named(release: Frames, write: Writer, tmp_path: Path) -> None:
    write(release, tmp_path)
    (tmp_path / "customer_nodes_testing.csv").unlink()
    (tmp_path / "event_table_testing.csv").unlink()
    for call in (lambda: GraphReturns(tmp_path).files(SILENT), lambda: read(tmp_path)):
        found = faults(call)
        assert len(found) == 2
        assert "event_table_testing.p" in found[0]
        assert "customer_nodes_testing.p" in found[1]
    assert len(faults(lambda: GraphReturns(tmp_path / "absent").files(SILENT))) == 6


BAD_CELLS = {
    "hash(customerId)": ["", "x", "1.5", "99999999999999999999"],
    "hash(variantID)": ["", "seven", "0.1"],
    "isReturned": ["", "2", "-1", "maybe", "0.5"],
    "salesPerCustomer": ["many", "1.5"],
    "yearOfBirth": ["young"],
    "customerReturnRate": ["half", "inf"],
    "avgGbpPrice": ["£9", "1,50", "-inf"],
}
"""Values that cost their row, by column."""
FAULTY_CELLS = st.lists(
    st.tuples(
        st.sampled_from(SIX),
        st.sampled_from(sorted(BAD_CELLS)),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
    ),
    max_size=12,
)
RAGGED_ROWS = st.lists(
    st.tuples(st.sampled_from(SIX), st.integers(0, 10**6), st.booleans()), max_size=4
)


@given(FAULTY_CELLS, RAGGED_ROWS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_row_is_lost_and_none_is_kept_in_vain(
    release: Frames,
    write: Writer,
    tmp_path: Path,
    cells: list[tuple[str, str, int, int]],
    ragged: list[tuple[str, int, bool]],
) -> None:
    texts = {stem: frame.astype("str") for stem, frame in release.items()}
    faulty: dict[str, set[int]] = {stem: set() for stem in SIX}
    for stem, name, row, choice in cells:
        frame = texts[stem]
        if name in frame.columns:
            row %= len(frame)
            frame.iloc[row, frame.columns.get_loc(name)] = BAD_CELLS[name][
                choice % len(BAD_CELLS[name])
            ]
            faulty[stem].add(row + 1)
    write(texts, tmp_path)
    # Of two changes to one row only the last is made: together they could cancel out.
    changes = {(stem, row % len(release[stem]) + 1): longer for stem, row, longer in ragged}
    for (stem, row), is_longer in changes.items():
        path = tmp_path / f"{stem}.csv"
        lines = path.read_text().splitlines()
        lines[row] = lines[row] + ",0" if is_longer else lines[row].rpartition(",")[0]
        path.write_text("\n".join(lines) + "\n")
        faulty[stem].add(row)
    tables = read(tmp_path)
    rejects = tables.rejects.to_pandas()
    assert (rejects["reason"].str.len() > 0).all()
    for content in rejects["content"]:
        json.loads(content)
    for stem in SIX:
        rejected = rejects[rejects["file"] == f"{stem}.csv"]["row"].tolist()
        assert rejected == sorted(faulty[stem])
    kept = {
        "event_table": tables.events,
        "customer_nodes": tables.customers,
        "product_nodes": tables.variants,
    }
    for table, rows in kept.items():
        number = sum(len(release[stem]) for stem in SIX if stem.startswith(table))
        number_faulty = sum(len(faulty[stem]) for stem in SIX if stem.startswith(table))
        assert rows.num_rows + number_faulty == number
    train = tables.events.to_pandas().query("split != 'test'")
    good = [row for row in range(1, 301) if row not in faulty["event_table_training"]]
    assert train["row_id"].tolist() == good
    expected = release["event_table_training"].iloc[np.array(good) - 1]
    assert train["customer_key"].tolist() == expected["hash(customerId)"].tolist()
    assert train["returned"].tolist() == expected["isReturned"].tolist()
