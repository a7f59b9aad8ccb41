"""Files that cannot be used are named before anything is read."""

import gzip
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.sources.tables.conftest import LINES, MAPPING, PEOPLE, changed, faults, read


def test_unmentioned_columns_are_a_fault_unless_ignored(folder: Path) -> None:
    LINES.assign(agent="x", note="y").to_csv(folder / "lines.csv", index=False)
    (fault,) = faults(folder)
    assert "columns that the mapping does not mention: agent, note" in fault
    assert read(folder, changed("events/unmentioned", "ignore")).events.num_rows == 5
    named = deepcopy(MAPPING)
    named["events"]["columns"] |= {"agent": "ignore", "note": {"role": "ignore"}}
    assert "agent" not in read(folder, named).events.column_names


def _latin(folder: Path) -> None:
    LINES.assign(voucher="für dich").to_csv(folder / "lines.csv", index=False, encoding="latin-1")


def _utf16(folder: Path) -> None:
    LINES.to_csv(folder / "lines.csv", index=False, encoding="utf-16")


def _repeated_column(folder: Path) -> None:
    pd.concat([LINES, LINES[["paid"]]], axis=1).to_csv(folder / "lines.csv", index=False)


def _unclosed_quote(folder: Path) -> None:
    text = (folder / "lines.csv").read_text().replace("anna", '"anna', 1)
    (folder / "lines.csv").write_text(text)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: (folder / "lines.csv").unlink(), "there is no such file"),
        (lambda folder: (folder / "lines.csv").write_bytes(b""), "the file is empty"),
        (lambda folder: (folder / "lines.csv").write_bytes(b"\n\n"), "the file is empty"),
        (lambda folder: LINES[:0].to_csv(folder / "lines.csv", index=False), "has no rows"),
        (
            lambda folder: LINES.to_csv(folder / "lines.csv", index=False, sep=";"),
            "only one column was found with the delimiter ','. Set `delimiter: \";\"`",
        ),
        (
            lambda folder: LINES.drop(columns="paid").to_csv(folder / "lines.csv", index=False),
            "column 'paid': the column is missing",
        ),
        (_repeated_column, "column 'paid': the column is there twice"),
        (_latin, "the text is not UTF-8"),
        (_utf16, "the text is not UTF-8"),
        (_unclosed_quote, "none of its 1 rows has as many fields as the header"),
        (
            lambda folder: LINES.assign(day="12.04.2012").to_csv(folder / "lines.csv", index=False),
            "column 'day': not one of its values is a date of the format %Y-%m-%d",
        ),
        (
            lambda folder: LINES.assign(back="1").to_csv(folder / "lines.csv", index=False),
            "column 'back': not one of its values is one of yes, no",
        ),
        (
            lambda folder: LINES.assign(who="").to_csv(folder / "lines.csv", index=False),
            "every row was set aside: 5 times column 'who'",
        ),
        (
            lambda folder: LINES[:2].to_csv(folder / "lines.csv", index=False),
            "no row would be train or validation; train_from 20130130; validation_from 20121201",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    folder: Path, damage: Any, expected: str
) -> None:
    damage(folder)
    (fault,) = faults(folder)
    assert "lines.csv" in fault
    assert expected in fault


@pytest.mark.parametrize("file", ["lines.parquet", "lines.csv.gz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_and_foreign_files_are_refused(folder: Path, file: str, share: float) -> None:
    many = pd.concat([LINES] * 2000)
    path = folder / file
    many.to_parquet(path) if file.endswith("parquet") else many.to_csv(path, index=False)
    whole = path.read_bytes()
    for content in (whole[: int(len(whole) * share)], b"no such format"):
        path.write_bytes(content)
        (fault,) = faults(folder, changed("events/file", file))
        assert f"{file}: the file is damaged or of another format" in fault


def test_nested_parquet_values_are_refused(folder: Path) -> None:
    table = pa.Table.from_pandas(LINES.drop(columns="paid"), preserve_index=False)
    nested = pa.array([[1.0]] * 5)
    pq.write_table(table.append_column("paid", nested), folder / "lines.parquet")
    (fault,) = faults(folder, changed("events/file", "lines.parquet"))
    assert "column 'paid': values of type list<" in fault


def test_faults_of_all_files_are_reported_together(folder: Path) -> None:
    LINES.drop(columns=["paid", "who"]).to_csv(folder / "lines.csv", index=False)
    PEOPLE.assign(born="x").to_csv(folder / "people.csv", index=False)
    (folder / "goods.csv").write_bytes(b"")
    assert [fault.split(":")[0] for fault in faults(folder)] == [
        "lines.csv, column 'paid'",
        "lines.csv, column 'who'",
        "people.csv, column 'born'",
        "goods.csv",
    ]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("others", [[], [4]])
def test_a_quote_left_open_in_the_last_field_swallows_no_row(
    folder: Path, others: list[int], suffix: str
) -> None:
    """Such a row has as many fields as any other."""
    rows = LINES.to_csv(index=False).splitlines()
    for line in [2, *others]:
        head, _, last = rows[line].rpartition(",")
        rows[line] = f'{head},"{last}'
    opened = gzip.open if suffix else open
    with opened(folder / f"lines.csv{suffix}", "wt") as stream:
        stream.write("\n".join(rows) + "\n")
    content = changed("events/file", f"lines.csv{suffix}")
    (fault,) = faults(folder, content)
    assert "the row that begins in line 3 has a quote that is not closed" in fault
