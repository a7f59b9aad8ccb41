import json
from datetime import date

import pandas as pd
import pyarrow as pa
import pytest

from data.sources.mapping import parse_mapping
from data.sources.orders import EVENTS, orders_mapping
from data.sources.tables import Tables
from data.validation import InputError
from pipelines import replay
from pipelines.retraining.replaying import ReplayedWeek, WeeklyFiles, mondays


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (date(2013, 1, 7), date(2013, 1, 20), ["2013-01-07", "2013-01-14"]),
        (date(2013, 1, 8), date(2013, 1, 21), ["2013-01-14", "2013-01-21"]),
        (date(2013, 1, 6), date(2013, 1, 7), ["2013-01-07"]),
    ],
)
def test_mondays_lie_between_the_days(first, last, found):
    assert [str(day) for day in mondays(first, last)] == found


def test_no_monday_is_a_fault():
    with pytest.raises(InputError, match="no Monday"):
        mondays(date(2013, 1, 8), date(2013, 1, 13))


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_weeks_appear_one_after_another(tmp_path, orders_writer, format_):
    lines = orders_writer(tmp_path / "all.csv")
    path = tmp_path / f"all.{format_}"
    if format_ == "parquet":
        lines.to_parquet(path)
    files = WeeklyFiles(str(path), Tables(orders_mapping()), tmp_path / "weeks")
    files.reach(date(2012, 7, 16))
    assert [path.name for path in sorted(files.incoming.iterdir())] == [
        "2012-06-25.csv",
        "2012-07-02.csv",
        "2012-07-09.csv",
    ]
    upcoming = pd.read_csv(files.upcoming(date(2012, 7, 16)))
    assert upcoming["order_date"].between("2012-07-16", "2012-07-22").all()
    files.reach(date(2013, 1, 7))
    parts = [pd.read_csv(path) for path in sorted(files.incoming.iterdir())]
    assert sorted(pd.concat(parts)["order_item_id"]) == sorted(lines["order_item_id"])
    assert not files.upcoming(date(2013, 1, 7)).exists()


def german_tables() -> Tables:
    """Order lines with days as 24.12.2012 and prices as 9,90, if the file does not type them."""
    events = {**EVENTS, "date_format": "%d.%m.%Y", "decimal": ","}
    return Tables(parse_mapping({"events": events, "split": {"by": "time"}}, "german"))


def test_typed_days_and_prices_are_written_as_the_mapping_says(tmp_path, orders_writer):
    lines = orders_writer(tmp_path / "all.csv").head(500)
    typed = lines.replace("?", None)
    for name in ("order_date", "delivery_date", "user_dob"):
        typed[name] = pd.to_datetime(typed[name])
    typed["order_date"] += pd.Timedelta(hours=9, minutes=30)
    typed["user_reg_date"] = pd.to_datetime(typed["user_reg_date"]).dt.date
    path = tmp_path / "all.parquet"
    typed.to_parquet(path)
    tables = german_tables()
    files = WeeklyFiles(str(path), tables, tmp_path / "weeks")
    files.reach(date(2013, 1, 7))
    weeks = sorted(files.incoming.iterdir())
    assert pd.read_csv(weeks[0], dtype=str)["order_date"].iloc[0] == "01.07.2012"
    read = [tables.read_order_lines(week) for week in weeks]
    assert sum(each.rejects.num_rows for each in read) == 0
    parted = pa.concat_tables([each.table for each in read])
    assert parted.equals(tables.read_order_lines(path).table)


def test_a_ragged_row_is_left_out(tmp_path, orders_writer):
    path = tmp_path / "all.csv"
    orders_writer(path)
    with path.open("a") as file:
        file.write("9999,2012-12-30,too,few\n")
    files = WeeklyFiles(str(path), Tables(orders_mapping()), tmp_path / "weeks")
    assert len(pd.read_csv(files.upcoming(date(2012, 12, 24)))) > 0
    assert "9999" not in files.upcoming(date(2012, 12, 24)).read_text()


def test_files_without_a_readable_day_are_named_all_at_once(tmp_path, orders_writer):
    lines = orders_writer(tmp_path / "good.csv")
    lines.assign(order_date="yesterday").to_csv(tmp_path / "spoken.csv", index=False)
    lines.drop(columns="order_date").to_csv(tmp_path / "undated.csv", index=False)
    with pytest.raises(InputError) as raised:
        WeeklyFiles(str(tmp_path), Tables(orders_mapping()), tmp_path / "weeks")
    assert [(fault.file, fault.column) for fault in raised.value.faults] == [
        ("spoken.csv", "order_date"),
        ("undated.csv", "order_date"),
    ]


def test_a_monday_before_the_first_order_is_refused(tmp_path, orders_writer):
    orders_writer(tmp_path / "all.csv")
    files = WeeklyFiles(str(tmp_path / "all.csv"), Tables(orders_mapping()), tmp_path / "weeks")
    with pytest.raises(InputError, match="no orders before 2012-06-25, the first"):
        files.reach(date(2012, 6, 25))


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
def test_two_weeks_are_replayed_once(tmp_path, orders_writer, run):
    orders_writer(tmp_path / "all.csv")
    words = ("2012-12-10", "2012-12-17", "--path", tmp_path / "all.csv", "--models", "logistic",
             "--home", tmp_path / "home")  # fmt: skip
    ended = run(replay, *words)
    assert ended.code == 0, ended.errors
    kept = sorted((tmp_path / "home" / "weeks" / "replayed").glob("*.json"))
    weeks = [ReplayedWeek.from_json(json.loads(path.read_text())) for path in kept]
    assert [week.monday for week in weeks] == ["2012-12-10", "2012-12-17"]
    assert weeks[0].decision == "promoted" and weeks[0].served == "1"
    assert weeks[0].served_loss == weeks[0].first_loss
    assert 0.4 < weeks[1].served_loss < 0.9
    report = (tmp_path / "home" / "replay.md").read_text()
    for week in weeks:
        assert f"| {week.monday} | {week.decision} | version {week.served} |" in report
    assert (tmp_path / "home" / "drift_over_time.png").exists()
    before = [path.stat().st_mtime_ns for path in kept]
    assert run(replay, *words).code == 0
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_a_home_holds_one_replay_alone(tmp_path, orders_writer, run):
    """No Monday is reached here: what a home holds is settled before the first."""
    path, home = tmp_path / "all.csv", tmp_path / "home"
    lines = orders_writer(path)
    words = ("--path", path, "--home", home)

    def says(*others: object) -> str:
        ended = run(replay, *(others or ("2013-01-07", "2013-01-07")), *words)
        assert ended.code == 2
        return ended.errors

    assert "no orders from 2013-01-07 on" in says()
    key = (home / "weeks" / "key.json").read_bytes()
    assert "no orders from 2013-01-07 on" in says("2013-01-07", "2013-01-14")
    for others in (
        ("2013-01-14", "2013-01-14"),
        ("2013-01-07", "2013-01-07", "--label-delay-days", "7"),
    ):
        assert "holds another replay" in says(*others)
    lines.head(-1).to_csv(path, index=False)
    assert "holds another replay" in says()
    lines.to_csv(path, index=False)
    assert "no orders from 2013-01-07 on" in says()
    assert (home / "weeks" / "key.json").read_bytes() == key
    # Weeks of a version that left no key may be of any replay.
    (home / "weeks" / "key.json").unlink()
    assert "holds another replay" in says()


def test_a_replay_beyond_the_data_is_refused(tmp_path, orders_writer, run):
    orders_writer(tmp_path / "all.csv")
    ended = run(
        replay, "2013-01-07", "2013-01-07", "--path", tmp_path / "all.csv", "--home", tmp_path / "h"
    )
    assert ended.code == 2
    assert "no orders from 2013-01-07 on" in ended.errors
