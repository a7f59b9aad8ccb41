"""`retrain` from its command line: what it does in a good week, and in every bad one."""

import contextlib
import fcntl
import json
import shutil
import sqlite3
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from data.files import digest_folder
from pipelines import registry, retrain, tracking
from pipelines.experiment import Experiment
from pipelines.home import Home
from pipelines.registry import CHALLENGER, CHAMPION, PREVIOUS
from pipelines.retraining import cycle, record
from pipelines.retraining.settings import Settings
from pipelines.retraining.state import LastCycle

FIRST_CYCLE = date(2012, 12, 10)
WEEK = timedelta(days=7)
NEXT_CYCLE = FIRST_CYCLE + WEEK

pytestmark = pytest.mark.usefixtures("without_figures")


def number_of(alias: str) -> str | None:
    version = registry.version_of(alias)
    return None if version is None else version.number


def cycles(home: Path):
    """Runs of cycles, the newest first."""
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("returns")
    found = client.search_runs([experiment.experiment_id], "tags.retraining != ''")
    return [run for run in found if run.info.status == "FINISHED"]


def artifacts(run) -> set[str]:
    client = MlflowClient()
    folders = [file.path for file in client.list_artifacts(run.info.run_id) if file.is_dir]
    return {
        file.path for folder in folders for file in client.list_artifacts(run.info.run_id, folder)
    }


def test_the_first_cycle_makes_a_champion_and_draws_what_moved(begun, shop):
    assert "there is no champion; better than the base rate" in begun.printed
    assert "promoted (version 1)" in begun.printed
    assert "mlflow ui --backend-store-uri" in begun.printed
    (run,) = cycles(shop.home)
    assert run.data.tags["decision"] == "promoted"
    assert {"plots/drift.png", "plots/drift_shares.png", "plots/comparison.png"} <= artifacts(run)
    assert {"drift/columns.csv", "decision/comparison.csv"} <= artifacts(run)
    version = registry.version_of(CHAMPION)
    assert version.tags["test_from"] == "2012-10-29"
    assert version.tags["last_day"] == "2012-12-09"


def test_the_label_of_an_order_that_may_come_back_is_not_learned(shop):
    predictor = registry.verify(registry.version_of(CHAMPION))
    remembered = predictor.memory.tables.events.to_pandas()
    labelled = remembered[remembered["returned"].notna()]
    assert max(labelled["time"]) == date(2012, 11, 25)  # 14 days before 2012-12-10, exclusive
    assert max(remembered["time"]) == date(2012, 12, 9)  # an order is known at once


def test_the_same_order_lines_are_nothing_new(shop, run):
    before = digest_folder(shop.home / "retraining")
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 0
    assert "nothing new" in ended.output
    assert len(cycles(shop.home)) == 1
    assert digest_folder(shop.home / "retraining") == before


def test_a_dry_run_decides_and_changes_nothing_and_the_real_one_goes_on_from_it(
    shop, run, monkeypatch
):
    shop.export(FIRST_CYCLE)
    ended = run(retrain, *shop.words(NEXT_CYCLE, "--dry-run"))
    assert ended.code == 0
    assert "dry run, would be" in ended.output
    assert len(cycles(shop.home)) == 1
    assert [version.number for version in registry.versions()] == ["1"]
    assert LastCycle.read(Home.prepare(shop.home)).today == str(FIRST_CYCLE)

    def fitted_again(*_: object) -> None:
        raise AssertionError("the dry run's model is there")

    monkeypatch.setattr(Experiment, "fit", fitted_again)
    read = [path.stat().st_mtime_ns for path in sorted((shop.home / "partitions").rglob("*.parq*"))]
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 0, ended.errors
    now = [path.stat().st_mtime_ns for path in sorted((shop.home / "partitions").rglob("*.parq*"))]
    assert now == read
    run_of_cycle = cycles(shop.home)[0]
    decision = run_of_cycle.data.tags["decision"]
    holders = (number_of(CHAMPION), number_of(CHALLENGER), number_of(PREVIOUS))
    assert holders == (("2", None, "1") if decision == "promoted" else ("1", "2", None))
    metrics = run_of_cycle.data.metrics
    difference = metrics["difference_cross_entropy"]
    assert difference == pytest.approx(
        metrics["challenger_test_cross_entropy"] - metrics["champion_test_cross_entropy"]
    )
    assert (metrics["difference_cross_entropy_high"] < 0) >= (decision == "promoted")
    assert f"{difference:+.4f}" in run_of_cycle.data.tags["mlflow.note.content"]
    path = mlflow.artifacts.download_artifacts(
        run_id=run_of_cycle.info.run_id, artifact_path="drift/columns.csv"
    )
    drift = pd.read_csv(path, index_col="column")
    assert {"item_price", "returned (base rate)", "score of the champion"} <= set(drift.index)
    assert metrics["psi/item_price"] == pytest.approx(drift.loc["item_price", "PSI"])
    # A comparison is fair only on orders that the champion has not learned from.
    champion = registry.find("1")
    assert registry.find("2").tags["test_from"] >= champion.tags["test_from"]
    # What was trained is no longer needed.
    assert sorted(path.name for path in (shop.home / "retraining").iterdir()) == [
        "last.json",
        "lock",
    ]


def test_a_corrected_file_is_new(shop, run):
    path = shop.incoming / "2012-12-03.csv"
    lines = pd.read_csv(path, dtype=str)
    lines["return"] = "1"
    lines.to_csv(path, index=False)
    ended = run(retrain, *shop.words(FIRST_CYCLE, "--dry-run"))
    assert "dry run, would be" in ended.output


class CrashError(Exception):
    """Stands for a process that ends."""


def test_a_cycle_that_ends_anywhere_is_finished_by_the_next_runs(shop, run, monkeypatch):
    """One crash after another, each later than the one before; nothing happens twice."""
    shop.export(FIRST_CYCLE)
    fits = []
    fit = Experiment.fit

    def counted(self, *arguments):
        fits.append(arguments[0])
        return fit(self, *arguments)

    monkeypatch.setattr(Experiment, "fit", counted)
    # It is promoted whatever the comparison says, so that the last stages are gone through.
    find = cycle.find

    def promoted(*arguments):
        return replace(find(*arguments), promote=True)

    monkeypatch.setattr(cycle, "find", promoted)

    settings = Settings(path=str(shop.incoming), models=("logistic",))
    arguments = retrain.Arguments(settings=settings, today=NEXT_CYCLE, home=shop.home)

    def crash(*_: object, **__: object) -> None:
        raise CrashError

    for module, name in (
        (cycle, "open_dataset"),
        (cycle, "keep_fit"),
        (cycle, "read_fit"),
        (cycle, "record_cycle"),
        (record, "record_comparison"),
        (tracking, "set_note"),
        (cycle, "register_challenger"),
        (registry, "promote"),
        (registry, "_tag"),
        (LastCycle, "write"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, crash)
            with pytest.raises(CrashError):
                retrain.main(arguments, Console(quiet=True))
        registry.verify(registry.version_of(CHAMPION))
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 0, ended.errors
    assert "promoted (version 2)" in ended.output
    # The first fit was lost before it could be kept.
    assert fits == ["logistic", "logistic"]
    assert len(cycles(shop.home)) == 2
    assert [version.number for version in registry.versions()] == ["2", "1"]
    assert (number_of(CHAMPION), number_of(PREVIOUS)) == ("2", "1")
    assert "nothing new" in run(retrain, *shop.words(NEXT_CYCLE)).output


def refused(ended, shop, *says: str, code: int = 2) -> None:
    """The run ended with a sentence, and what serves still serves."""
    assert ended.code == code, ended.output
    for word in says:
        assert word in ended.errors
    assert "Traceback" not in ended.errors
    tracking.connect(Home.prepare(shop.home))
    registry.verify(registry.version_of(CHAMPION))
    assert number_of(CHAMPION) == "1"
    assert len(cycles(shop.home)) == 1


def test_bad_files_are_named_all_at_once_and_good_ones_then_go_on(shop, run):
    columns = shop.week(FIRST_CYCLE).drop(columns="item_price")
    columns.to_csv(shop.incoming / "2012-12-10.csv", index=False)
    truncated = shop.incoming / "2012-12-17.parquet"
    shop.week(FIRST_CYCLE + WEEK).to_parquet(truncated)
    whole = truncated.read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    today = FIRST_CYCLE + 2 * WEEK
    ended = run(retrain, *shop.words(today))
    refused(ended, shop, "2012-12-10.csv", "'item_price'", "2012-12-17.parquet", "damaged")
    shop.export(FIRST_CYCLE)
    truncated.write_bytes(whole)
    assert "dry run, would be" in run(retrain, *shop.words(today, "--dry-run")).output


def test_a_week_with_a_handful_of_lines_or_with_many_faulty_ones_is_refused(shop, run):
    few = shop.week(FIRST_CYCLE)[-5:]
    few.to_csv(shop.incoming / "2012-12-10.csv", index=False)
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    refused(ended, shop, "the week to 2012-12-16 has 5 order lines", "--volume-factor")
    faulty = shop.week(FIRST_CYCLE).astype({"order_date": object})
    faulty.loc[faulty.index[:20], "order_date"] = "2012-13-01"
    faulty.to_csv(shop.incoming / "2012-12-10.csv", index=False)
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    refused(ended, shop, "2012-12-10.csv", "20 of them", "order_date", "--most-rejected")


def test_a_faulty_file_is_refused_again_and_again_until_a_cycle_has_accepted_it(shop, run):
    faulty = shop.week(FIRST_CYCLE).astype({"order_date": object})
    faulty.loc[faulty.index[:20], "order_date"] = "2012-13-01"
    faulty.to_csv(shop.incoming / "2012-12-10.csv", index=False)
    accepting = ("--most-rejected", "0.5")
    for words in ((), ("--dry-run",), ()):
        refused(run(retrain, *shop.words(NEXT_CYCLE, *words)), shop, "20 of them", "order_date")
    ended = run(retrain, *shop.words(NEXT_CYCLE, "--dry-run", *accepting))
    assert "dry run, would be" in ended.output
    refused(run(retrain, *shop.words(NEXT_CYCLE)), shop, "20 of them", "order_date")
    assert run(retrain, *shop.words(NEXT_CYCLE, *accepting)).code == 0
    assert "nothing new" in run(retrain, *shop.words(NEXT_CYCLE)).output


def test_files_of_a_cycle_that_did_not_note_them_are_judged(shop, run):
    last = shop.home / "retraining" / "last.json"
    content = json.loads(last.read_text())
    assert len(content.pop("files")) == len(list(shop.incoming.iterdir()))
    last.write_text(json.dumps(content))
    assert LastCycle.read(Home.prepare(shop.home)).files == ()
    assert "nothing new" in run(retrain, *shop.words(NEXT_CYCLE)).output


def test_a_clock_set_back_is_told(shop, run):
    ended = run(retrain, *shop.words(FIRST_CYCLE - WEEK))
    refused(ended, shop, "the last cycle was on 2012-12-10")


def test_orders_of_days_to_come_are_told(shop, run):
    shop.export(FIRST_CYCLE)
    refused(run(retrain, *shop.words(FIRST_CYCLE)), shop, "today is 2012-12-10", "2012-12-16")


def test_a_champion_that_learned_from_the_test_is_no_match(shop, run):
    """A last cycle that nobody remembers, and a clock that stands too early."""
    (shop.home / "retraining" / "last.json").unlink()
    (shop.incoming / "2012-12-03.csv").unlink()
    ended = run(retrain, *shop.words(FIRST_CYCLE - WEEK))
    refused(ended, shop, "the champion has learned from orders until 2012-10-29", "2012-10-22")


def test_two_at_once_are_one_too_many(shop, run):
    with (shop.home / "retraining" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(run(retrain, *shop.words(NEXT_CYCLE)), shop, "another retraining", code=75)
    assert "nothing new" in run(retrain, *shop.words(NEXT_CYCLE)).output


def test_a_database_that_is_gone_is_waited_for_not_replaced(shop, run):
    database = shop.home / "mlflow.db"
    database.rename(shop.home / "away.db")
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 75
    assert "is gone" in ended.errors and "last.json" in ended.errors
    assert not database.exists()
    (shop.home / "away.db").rename(database)
    assert "nothing new" in run(retrain, *shop.words(NEXT_CYCLE)).output


def test_a_registry_that_lost_the_model_is_not_taken_for_a_beginning(shop, run):
    database, saved = shop.home / "mlflow.db", shop.home / "saved.db"
    shutil.copy(database, saved)
    MlflowClient().delete_registered_model("returns")
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 75
    assert "knows no model of the cycles before" in ended.errors
    source, target = sqlite3.connect(saved), sqlite3.connect(database)
    with contextlib.closing(source), contextlib.closing(target):
        source.backup(target)
    assert "nothing new" in run(retrain, *shop.words(NEXT_CYCLE)).output


def test_a_full_disk_is_no_bad_input_and_the_next_run_goes_on(shop, run, monkeypatch):
    shop.export(FIRST_CYCLE)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "test.npy")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        ended = run(retrain, *shop.words(NEXT_CYCLE))
    refused(ended, shop, "the disk is full", "test.npy", code=75)
    assert not list((shop.home / "retraining").rglob("*partial*"))
    assert "dry run, would be" in run(retrain, *shop.words(NEXT_CYCLE, "--dry-run")).output


def test_an_alias_deleted_by_hand_comes_back_with_the_next_run(shop, run):
    MlflowClient().delete_registered_model_alias("returns", CHAMPION)
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 0
    assert "there was no champion; version 1 serves again" in ended.output
    assert number_of(CHAMPION) == "1"


def test_where_no_version_can_serve_the_same_order_lines_make_a_new_one(shop, run):
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/returns/1"))
    path = next(folder.rglob("memory_events.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    dry = run(retrain, *shop.words(NEXT_CYCLE, "--dry-run"))
    assert "not those that were registered; left as it is" in dry.output
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 0, ended.errors
    assert "files of models:/returns/1 are not those that were registered" in ended.output
    assert number_of(CHAMPION) == "2"
    registry.verify(registry.version_of(CHAMPION))


def test_rolling_back_needs_something_to_roll_back_to(shop, run):
    ended = run(retrain, "--rollback", "--home", shop.home)
    refused(ended, shop, "no version served before the champion")


def test_rolling_back_takes_the_champion_before(shop, run):
    uri = registry.version_of(CHAMPION).tags["model_uri"]
    predictor = registry.verify(registry.version_of(CHAMPION))
    registry.promote(registry.register(uri, predictor, {}, ""))
    ended = run(retrain, "--rollback", "--home", shop.home)
    assert ended.code == 0
    assert "models:/returns/1 is champion again, models:/returns/2 is not" in ended.output
    assert number_of(CHAMPION) == "1"


def test_a_champion_of_another_protocol_is_never_compared_with(shop, run):
    shop.export(FIRST_CYCLE)
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/returns/1"))
    path = folder / "artifacts" / "predictor" / "predictor.json"
    content = json.loads(path.read_text())
    content["preparation"]["protocol"] = "paper"
    path.write_text(json.dumps(content))
    with sqlite3.connect(shop.home / "mlflow.db") as database:
        database.execute("delete from model_version_tags where key in ('files_sha256', 'probe')")
    ended = run(retrain, *shop.words(NEXT_CYCLE))
    assert ended.code == 2
    assert "the champion is of protocol paper" in ended.errors


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--path"),
        (("--path", "absent/*.csv"), "no file of order lines"),
        (("--path", ".", "--source", "tables"), "--mapping"),
        (("--path", ".", "--models", "oracle"), "oracle"),
        (("--path", ".", "--test-days", "0"), "--test-days"),
        (("--path", ".", "--label-delay-days", "-1"), "--label-delay-days"),
        (("--path", ".", "--volume-factor", "1"), "--volume-factor"),
        (("--path", ".", "--costs", "absent.yaml"), "absent.yaml"),
        (("--path", ".", "--today", "yesterday"), "--today"),
        (("--path", ".", "--schedule", "0 3 * * 9"), "--schedule"),
        (("--path", ".", "--schedule", "0 3 * * 1", "--time-zone", "Mars"), "--time-zone"),
        (("--path", ".", "--schedule", "0 3 * * 1", "--today", "2013-01-07"), "--today"),
        (("--path", ".", "--time-zone", "UTC"), "--time-zone"),
        (("--rollback", "--schedule", "0 3 * * 1"), "--rollback"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(home, run, words, says):
    ended = run(retrain, "--home", home.root, *words)
    assert ended.code == 2
    assert says in ended.errors
    assert "Traceback" not in ended.errors
