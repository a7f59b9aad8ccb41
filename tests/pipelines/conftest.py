"""One trained home that the tests of the commands share."""

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from pipelines import tracking, train
from pipelines.command import run_command
from pipelines.home import Home
from pipelines.source_arguments import SourceArguments


@dataclass(frozen=True)
class TrainedHome:
    """A home after `train`, what was printed, and the order lines it was trained on."""

    folder: Path
    printed: str
    orders: Path


def write_orders(path: Path, number: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Write synthetic order lines in the 14 columns of the Data Mining Cup 2014."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(1, 300, number), rng.integers(1, 120, number)
    day = np.sort(rng.integers(0, 182, number))
    date = np.datetime64("2012-07-01") + day
    logit = rng.normal(0, 1.2, 300)[user] + rng.normal(0, 0.8, 120)[item]
    returned = rng.random(number) < 1 / (1 + np.exp(-logit))
    birth = np.datetime64("1960-01-01") + (user * 37) % 12_000
    frame = pd.DataFrame(
        {
            "order_item_id": np.arange(1, number + 1),
            "order_date": date.astype(str),
            "delivery_date": np.where(rng.random(number) < 0.9, (date + 3).astype(str), "?"),
            "item_id": item,
            "item_size": rng.choice(["s", "m", "L", "?"], number),
            "item_color": rng.choice(["red", "blue"], number),
            "brand_id": item % 17,
            "item_price": rng.lognormal(4, 0.4, number).round(2),
            "user_id": user,
            "user_title": "Mrs",
            "user_dob": np.where(user % 9 == 0, "?", birth.astype(str)),
            "user_state": rng.choice(["Hesse", "Bavaria"], 300)[user],
            "user_reg_date": "2011-02-16",
            "return": returned.astype(int),
        }
    )
    frame.to_csv(path, index=False)
    return frame


@pytest.fixture(scope="session")
def orders_writer() -> Callable[..., pd.DataFrame]:
    """`write_orders`, for tests in other folders."""
    return write_orders


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: object
    output: str
    errors: str


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command of `pipelines` as its command line would, in this process."""

    def run_here(command: ModuleType, *words: object) -> Ended:
        with without_tracking_variable(), pytest.raises(SystemExit) as ending:
            run_command(
                command.Arguments, command.main, command.__doc__, [str(word) for word in words]
            )
        output, errors = capfd.readouterr()
        return Ended(ending.value.code, output, errors)

    return run_here


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainedHome]:
    """`train` on synthetic order lines: two models, one of them the graph network."""
    folder = tmp_path_factory.mktemp("home")
    orders = folder / "orders.csv"
    write_orders(orders)
    output = io.StringIO()
    arguments = train.Arguments(
        source="orders",
        tables=SourceArguments(path=orders),
        models=("logistic", "gnn"),
        epochs=2,
        register=True,
        home=folder / "artifacts",
    )
    with without_tracking_variable():
        train.main(arguments, Console(file=output, width=120))
        yield TrainedHome(folder / "artifacts", output.getvalue(), orders)


@pytest.fixture(autouse=True)
def tracking_restored() -> Iterator[None]:
    """Forget afterwards which store a test pointed MLflow at, whether by call or by variable."""
    with without_tracking_variable():
        yield
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(tmp_path: Path, migrated_database: Path) -> Home:
    """A home without runs, which MLflow is pointed at."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    shutil.copy(migrated_database, folder / "mlflow.db")
    home = Home.prepare(folder)
    tracking.connect(home)
    return home


@contextlib.contextmanager
def without_tracking_variable() -> Iterator[None]:
    """MLflow sets `MLFLOW_TRACKING_URI` when it is pointed at a store; forget it afterwards."""
    before = os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
