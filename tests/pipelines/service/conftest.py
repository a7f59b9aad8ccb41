"""A served model of the home that all tests of the commands share."""

import shutil
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from starlette.testclient import TestClient

from pipelines import registry, tracking
from pipelines.home import Home
from pipelines.service.application import application
from pipelines.service.holder import Holder
from pipelines.service.limits import Limits
from pipelines.service.metrics import Metrics
from pipelines.service.served import ServedModel, load

MOST_LINES = 50
NUMBERS = ("item_price",)
INTEGERS = ("order_item_id", "item_id", "brand_id", "user_id")


@pytest.fixture(scope="session")
def served(trained_home) -> ServedModel:
    tracking.connect(Home.prepare(trained_home.folder))
    return load("models:/returns@champion", MOST_LINES)


@pytest.fixture
def service(served):
    """Makes a service with its own limits; `MOST_LINES` lines a request."""

    def make(**limits):
        metrics = Metrics()
        holder = Holder(served, metrics)
        return application(holder, metrics, Limits(most_lines=MOST_LINES, **limits))

    return make


@pytest.fixture
def client(service) -> Iterator[TestClient]:
    with TestClient(service(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def versions(trained_home, served, tmp_path) -> Callable[[], registry.Version]:
    """Registers the champion's model again, in a copy of the registry that MLflow is pointed at."""
    shutil.copy(trained_home.folder / "mlflow.db", tmp_path / "mlflow.db")
    tracking.connect(Home.prepare(tmp_path))
    champion = registry.version_of(registry.CHAMPION)
    predictor = served.predictor.predictor
    return lambda: registry.register(f"runs:/{champion.run_id}/model", predictor, {}, "")


@pytest.fixture(scope="session")
def new_orders(trained_home) -> pd.DataFrame:
    """Order lines of a later day, customers and variants partly never seen, as text."""
    orders = pd.read_csv(trained_home.orders, dtype=str).tail(20)
    orders = orders.drop(columns=["return", "delivery_date"]).assign(order_date="2013-01-05")
    orders.loc[orders.index[:5], "user_id"] = "900001"
    orders.loc[orders.index[3:9], "item_id"] = "900002"
    return orders.reset_index(drop=True)


@pytest.fixture(scope="session")
def lines(new_orders) -> list[dict]:
    """The same as JSON objects."""
    return [line_of(row) for row in new_orders.to_dict("records")]


def line_of(row: dict[str, str]) -> dict:
    line: dict = {name: None if value == "?" else value for name, value in row.items()}
    for name in INTEGERS:
        line[name] = int(row[name])
    for name in NUMBERS:
        line[name] = float(row[name])
    return line
