"""The invented shop that `docs/operations.md` begins with."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd

from data.partitions import PartitionStore, find_partitions
from data.reporter import SilentReporter
from data.sources.orders import orders_mapping
from data.sources.tables import Tables

SCRIPT = Path(__file__).parents[3] / "docs" / "examples" / "synthetic_orders.py"


def write(folder: Path, until: str, weeks: int) -> list[Path]:
    words = [str(folder), "--until", until, "--weeks", str(weeks)]
    subprocess.run([sys.executable, SCRIPT, *words], check=True, stdout=subprocess.DEVNULL)
    return find_partitions(str(folder))


def test_a_later_day_adds_weeks_and_outcomes_and_changes_nothing_else(tmp_path):
    paths = write(tmp_path / "incoming", "2026-07-08", 5)
    assert [path.stem for path in paths] == [
        *("2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22", "2026-06-29"),
    ]
    before = [path.read_bytes() for path in paths]
    tables = Tables(orders_mapping())
    store = PartitionStore(tmp_path / "kept", tables.read_order_lines)
    partitions = store.take_in(paths, SilentReporter())
    assert sum(partition.num_rejected for partition in partitions) == 0
    rows = pd.concat([partition.rows().to_pandas() for partition in partitions])
    assert rows["row_id"].is_unique
    is_open = rows["time"] >= date(2026, 6, 24)
    assert rows.loc[is_open, "returned"].isna().all()
    assert rows.loc[~is_open, "returned"].notna().all()

    later = write(tmp_path / "incoming", "2026-07-13", 6)
    assert [path.read_bytes() for path in later[:3]] == before[:3]
    assert later[-1].stem == "2026-07-06"
    again = store.take_in(later, SilentReporter())
    # Of the week from 22 June outcomes have come in; all of the next is still open, as it was.
    known = {partition.sha256 for partition in partitions}
    is_new = [partition.sha256 not in known for partition in again]
    assert is_new == [False] * 3 + [True, False, True]
    rows = pd.concat([partition.rows().to_pandas() for partition in again])
    assert rows.loc[rows["time"] < date(2026, 6, 29), "returned"].notna().all()
