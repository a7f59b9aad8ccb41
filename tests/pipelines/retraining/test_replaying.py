import json
from datetime import date

import pandas as pd
import pytest

from data.sources.orders import orders_mapping
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
    files = WeeklyFiles(str(path), orders_mapping().events, tmp_path / "weeks")
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


def test_a_replay_beyond_the_data_is_refused(tmp_path, orders_writer, run):
    orders_writer(tmp_path / "all.csv")
    ended = run(
        replay, "2013-01-07", "2013-01-07", "--path", tmp_path / "all.csv", "--home", tmp_path / "h"
    )
    assert ended.code == 2
    assert "no orders from 2013-01-07 on" in ended.errors
