from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.dataset import Manifest, index_tables
from data.partitions import Partition
from data.schema import REJECTS
from data.validation import InputError
from pipelines.retraining.checks import check_dataset, check_files
from returns.knowledge import EventArrays

TODAY = date(2012, 6, 1)
FILE = Partition("week.csv", "0" * 64, 1, Path("week.parquet"), 95, 5, TODAY, TODAY, counts={})


def manifest(dataset) -> Manifest:
    returned = EventArrays.of(dataset).returned
    counts = {}
    for split in ("train", "validation", "test"):
        counts[f"events_{split}"] = int(dataset.split_mask(split).sum())
        counts[f"returned_{split}"] = int((returned[dataset.split_mask(split)] == 1).sum())
    return Manifest("orders", {}, (), "0" * 64, counts, (), ())


def with_weeks(dataset, lines: list[int]):
    """The dataset with so many events in each of the latest weeks, the newest first."""
    number = dataset.events.num_rows
    week = np.repeat(np.arange(len(lines)), lines)
    week = np.append(week, np.full(number - len(week), len(lines)))
    day = np.datetime64("2012-06-01") - 7 * week
    place = dataset.events.column_names.index("time")
    field = dataset.events.schema.field("time")
    events = dataset.events.set_column(place, field, pa.array(day, pa.date32()))
    return replace(dataset, events=events)


def test_files_within_the_limits_pass():
    check_files([FILE], (), TODAY, 0.05)
    check_files([replace(FILE, num_rejected=90)], {FILE.kept}, TODAY, 0.05)


def test_a_file_that_a_cycle_read_in_another_way_is_judged(tmp_path):
    faulty = replace(FILE, num_rejected=90, kept=tmp_path / "week.parquet")
    columns = [["week.csv"] * 90, range(90), ["no date"] * 90, ["{}"] * 90]
    pq.write_table(pa.table(columns, schema=REJECTS), tmp_path / "week.rejects.parquet")
    with pytest.raises(InputError, match=r"week.csv: 90 of 185 rows .* 90 of them: no date"):
        check_files([faulty], {FILE.kept}, TODAY, 0.05)


def test_orders_of_tomorrow_do_not():
    late = replace(FILE, last_day=TODAY + timedelta(days=1))
    with pytest.raises(InputError, match=r"week.csv: it holds orders of 2012-06-02"):
        check_files([FILE, late], (), TODAY, 0.05)


@pytest.mark.parametrize(
    ("weeks", "new_days", "says"),
    [
        ([40, 50, 60, 50, 40, 60], 7, None),
        ([10, 50, 60, 50, 40, 60], 7, "the week to 2012-06-01 has 10 order lines"),
        ([250, 50, 60, 50, 40, 60], 7, "has 250 order lines, the median week 50"),
        ([50, 0, 60, 50, 40, 60, 50], 14, "the week to 2012-05-25 has 0 order lines"),
        # Old weeks are not judged again, and few weeks are no measure.
        ([50, 0, 60, 50, 40, 60, 50], 7, None),
        ([10, 50, 60, 50], 7, None),
        # The first cycle judges the latest four weeks.
        ([50, 60, 50, 5, 60, 50, 40, 60], None, "the week to 2012-05-11 has 5 order lines"),
        ([50, 60, 50, 60, 5, 50, 40, 60], None, None),
    ],
)
def test_a_week_of_another_volume_than_usual_is_refused(dated, weeks, new_days, says):
    dataset = with_weeks(dated, weeks)
    since = None if new_days is None else TODAY - timedelta(days=new_days)
    if says is None:
        check_dataset(dataset, manifest(dated), since, 4.0)
        return
    with pytest.raises(InputError, match=says) as raised:
        check_dataset(dataset, manifest(dated), since, 4.0)
    assert len(raised.value.faults) == 1


def test_a_test_of_few_labels_is_refused(dated_tables, relabel):
    returned = dated_tables.events["returned"].to_numpy().astype(object)
    test = dated_tables.events["split"].to_numpy() == "test"
    returned[np.flatnonzero(test)[50:]] = None
    dataset, _ = index_tables(relabel(dated_tables, returned.tolist()))
    with pytest.raises(InputError, match="the test has 50 labelled order lines"):
        check_dataset(dataset, manifest(dataset), None, 4.0)


def test_a_part_of_one_class_is_refused(dated_tables, relabel):
    returned = dated_tables.events["returned"].to_numpy().copy()
    returned[dated_tables.events["split"].to_numpy() == "validation"] = 0
    dataset, _ = index_tables(relabel(dated_tables, returned))
    with pytest.raises(InputError, match="the validation split has"):
        check_dataset(dataset, manifest(dataset), None, 4.0)
