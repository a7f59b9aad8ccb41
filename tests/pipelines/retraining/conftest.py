"""A home after its first retraining, which tests get copies of, and weekly files to go on with."""

import contextlib
import io
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from pipelines import retrain, tracking
from pipelines.home import Home
from pipelines.retraining.settings import Settings

FIRST_MONDAY = date(2012, 7, 2)
FIRST_CYCLE = date(2012, 12, 10)


class Shop:
    """A shop that exports its order lines week by week.

    Attributes:
        incoming: Folder of the files.
        home: Folder of all state.
        lines: All order lines of half a year, synthetic.
    """

    def __init__(self, folder: Path, lines: pd.DataFrame) -> None:
        self.folder, self.lines = folder, lines
        self.incoming, self.home = folder / "incoming", folder / "artifacts"
        self.incoming.mkdir(parents=True, exist_ok=True)

    def copy(self, folder: Path) -> "Shop":
        """The same shop elsewhere, nothing of it shared."""
        shutil.copytree(self.folder, folder)
        _move_database(folder / "artifacts" / "mlflow.db", str(self.folder), str(folder))
        return Shop(folder, self.lines)

    def week(self, monday: date) -> pd.DataFrame:
        days = pd.to_datetime(self.lines["order_date"]).dt.date
        return self.lines[(days >= monday) & (days < monday + timedelta(days=7))]

    def export(self, monday: date) -> Path:
        path = self.incoming / f"{monday}.csv"
        self.week(monday).to_csv(path, index=False)
        return path

    def words(self, today: date, *more: object) -> tuple[object, ...]:
        """Words of the command line."""
        return ("--path", self.incoming, "--home", self.home, "--today", today, "--models",
                "logistic", *more)  # fmt: skip


@dataclass(frozen=True)
class Begun:
    """A home after its first cycle.

    Attributes:
        folder: Of home and files.
        lines: All order lines.
        printed: What the first cycle said.
    """

    folder: Path
    lines: pd.DataFrame
    printed: str


@pytest.fixture(scope="session")
def begun(
    tmp_path_factory: pytest.TempPathFactory,
    migrated_database: Path,
    orders_writer: Callable[..., pd.DataFrame],
) -> Begun:
    """The first cycle over all weeks until `FIRST_CYCLE`."""
    folder = tmp_path_factory.mktemp("begun")
    lines = orders_writer(folder / "all.csv")
    shop = Shop(folder, lines)
    monday = FIRST_MONDAY
    while monday < FIRST_CYCLE:
        shop.export(monday)
        monday += timedelta(days=7)
    shop.home.mkdir()
    shutil.copy(migrated_database, shop.home / "mlflow.db")
    settings = Settings(path=str(shop.incoming), models=("logistic",))
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        arguments = retrain.Arguments(settings=settings, today=FIRST_CYCLE, home=shop.home)
        retrain.main(arguments, Console(file=output, width=200))
    return Begun(folder, lines, output.getvalue())


@pytest.fixture
def shop(begun: Begun, tmp_path: Path) -> Shop:
    """A copy of the home after its first cycle, with files of its own."""
    shop = Shop(begun.folder, begun.lines).copy(tmp_path / "shop")
    tracking.connect(Home.prepare(shop.home))
    return shop


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is half of a small cycle, and tested with the first one."""
    monkeypatch.setattr(tracking, "log_figures", lambda figures: None)


def _move_database(path: Path, before: str, after: str) -> None:
    """Replace a folder's name in every text of a database."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            columns = database.execute(f"pragma table_info({table})").fetchall()
            for _, name, type_, *_ in columns:
                if "CHAR" in type_ or type_ == "TEXT":
                    database.execute(
                        f'update {table} set "{name}" = replace("{name}", ?, ?) '
                        f'where "{name}" like ?',
                        (before, after, f"%{before}%"),
                    )
