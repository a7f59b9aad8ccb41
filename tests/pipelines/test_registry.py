import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from data.dataset import index_tables
from data.reporter import SilentReporter
from data.validation import InputError
from pipelines import registry, tracking
from pipelines.home import Home
from pipelines.registry import CHALLENGER, CHAMPION, PREVIOUS, UnservableError, Version
from returns.calibration import Calibration
from returns.memory import Memory
from returns.models.registry import create
from returns.predictor import ReturnPredictor
from returns.preparation import Preparation
from returns.protocol import Protocol

TAGS = {"protocol": "strict", "source": "orders", "model": "logistic"}


def fitted(tables) -> ReturnPredictor:
    dataset, _ = index_tables(tables)
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    train, validation = (preparation.event_set(dataset, part) for part in ("train", "validation"))
    model = create("logistic", 0, None)
    model.fit(train, validation, SilentReporter())
    calibration = Calibration.fit(validation.labels, model.predict_proba(validation))
    memory = Memory.of(dataset, Protocol.STRICT)
    return ReturnPredictor("orders", {}, preparation, memory, model, calibration)


@pytest.fixture(scope="module", params=["dated", "undated"])
def any_predictor(request, dated_tables, undated_tables) -> ReturnPredictor:
    return fitted(dated_tables if request.param == "dated" else undated_tables)


@pytest.fixture(scope="module")
def predictor(dated_tables) -> ReturnPredictor:
    return fitted(dated_tables)


def logged(predictor: ReturnPredictor, folder: Path) -> str:
    folder.mkdir()
    predictor.save(folder)
    with mlflow.start_run():
        return tracking.log_model(folder, TAGS)


@pytest.fixture(scope="module")
def template(predictor, migrated_database, tmp_path_factory) -> tuple[Path, str]:
    """A home in which the predictor is logged, and its URI."""
    folder = tmp_path_factory.mktemp("template")
    shutil.copy(migrated_database, folder / "mlflow.db")
    tracking.connect(Home.prepare(folder))
    return folder / "mlflow.db", logged(predictor, folder / "predictor")


@pytest.fixture
def new_version(template, predictor, tmp_path):
    """Registers the predictor as another version of a fresh registry; all share their files."""
    database, uri = template
    shutil.copy(database, tmp_path / "mlflow.db")
    tracking.connect(Home.prepare(tmp_path))
    return lambda: registry.register(uri, predictor, TAGS, "# A card")


def new_files(predictor, folder: Path) -> Version:
    """Another version, with files of its own."""
    return registry.register(logged(predictor, folder), predictor, TAGS, "")


def number_of(alias: str) -> str | None:
    version = registry.version_of(alias)
    return None if version is None else version.number


def damage(version: Version, name: str) -> None:
    """Overwrite the middle of a file of a version."""
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri))
    path = next(folder.rglob(name))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = b"\0" * 8
    path.write_bytes(content)


def test_a_registered_version_carries_its_tags_its_card_and_what_it_scores(
    home, any_predictor, tmp_path
):
    uri = logged(any_predictor, tmp_path / "predictor")
    version = registry.register(uri, any_predictor, TAGS, "# A card")
    assert version.number == "1"
    assert TAGS.items() <= version.tags.items()
    scores = json.loads(version.tags[registry.PROBE_TAG])
    assert len(scores) == registry.PROBE_EVENTS
    assert np.array_equal(registry.probe(any_predictor), scores)
    assert MlflowClient().get_model_version("returns", "1").description == "# A card"
    loaded = registry.verify(version)
    assert np.array_equal(registry.probe(loaded), scores)


def test_a_long_card_is_cut_at_a_line(home, predictor, tmp_path):
    card = "\n".join(f"line {number:05}" for number in range(1000))
    registry.register(logged(predictor, tmp_path / "predictor"), predictor, TAGS, card)
    description = MlflowClient().get_model_version("returns", "1").description
    assert registry.LONGEST_DESCRIPTION - 20 < len(description) <= registry.LONGEST_DESCRIPTION
    assert description.endswith("\n…")
    assert card.startswith(description[:-2])


def test_what_was_logged_must_be_what_was_trained(home, predictor, tmp_path):
    uri = logged(predictor, tmp_path / "predictor")
    other = replace(predictor, calibration=Calibration(temperature=2.0))
    with pytest.raises(UnservableError, match="scores differently"):
        registry.register(uri, other, TAGS, "")
    assert not registry.is_known()


def test_the_first_is_champion_and_the_next_challenger(new_version):
    assert number_of(CHAMPION) is None
    assert registry.introduce(new_version()) == CHAMPION
    assert registry.introduce(new_version()) == CHALLENGER
    assert (number_of(CHAMPION), number_of(CHALLENGER)) == ("1", "2")


def test_a_promotion_keeps_the_champion_before_as_previous(new_version):
    first, second = new_version(), new_version()
    registry.introduce(first)
    registry.introduce(second)
    registry.promote(second)
    assert (number_of(CHAMPION), number_of(PREVIOUS)) == ("2", "1")
    assert number_of(CHALLENGER) is None
    tags = registry.find("2").tags
    assert tags[registry.PREDECESSOR_TAG] == "1"
    assert registry.PROMOTED_TAG in tags


def test_a_promotion_can_be_repeated(new_version):
    versions = [new_version(), new_version()]
    for version in versions:
        registry.promote(version)
    registry.promote(versions[1])
    assert (number_of(CHAMPION), number_of(PREVIOUS)) == ("2", "1")


def test_rolling_back_goes_one_champion_further_each_time(new_version):
    for _ in range(3):
        registry.promote(new_version())
    before, after = registry.rollback()
    assert (before.number, after.number) == ("3", "2")
    assert (number_of(CHAMPION), number_of(PREVIOUS)) == ("2", "1")
    registry.rollback()
    assert (number_of(CHAMPION), number_of(PREVIOUS)) == ("1", None)
    with pytest.raises(InputError, match="no version served before"):
        registry.rollback()
    assert number_of(CHAMPION) == "1"


def test_there_is_nothing_to_roll_back_without_a_champion(home):
    with pytest.raises(InputError, match="there is no champion"):
        registry.rollback()


@pytest.mark.parametrize("name", ["predictor.json", "memory_events.parquet", "*.safetensors"])
def test_a_damaged_version_is_not_promoted(new_version, predictor, tmp_path, name):
    registry.promote(new_version())
    second = new_files(predictor, tmp_path / "predictor")
    damage(second, name)
    with pytest.raises(UnservableError):
        registry.promote(second)
    assert (number_of(CHAMPION), number_of(PREVIOUS)) == ("1", None)


def test_a_healthy_champion_is_left_alone(new_version):
    registry.promote(new_version())
    champion, done = registry.restore_champion()
    assert champion.number == "1"
    assert done is None


def test_without_a_version_there_is_nothing_to_restore(home):
    assert registry.restore_champion() == (None, None)


def test_a_damaged_champion_gives_way_to_the_one_before(new_version, predictor, tmp_path):
    for _ in range(2):
        registry.promote(new_version())
    registry.promote(new_files(predictor, tmp_path / "predictor"))
    damage(registry.find("3"), "memory_events.parquet")
    champion, done = registry.restore_champion()
    assert champion.number == number_of(CHAMPION) == "2"
    assert "not those that were registered" in done and "version 2 serves again" in done


def test_a_champion_deleted_by_hand_gives_way_to_the_one_before(new_version):
    for _ in range(2):
        registry.promote(new_version())
    MlflowClient().delete_model_version("returns", "2")
    champion, done = registry.restore_champion()
    assert champion.number == number_of(CHAMPION) == "1"
    assert number_of(PREVIOUS) is None
    assert "there was no champion" in done


def test_an_alias_deleted_by_hand_comes_back(new_version):
    for _ in range(2):
        registry.promote(new_version())
    MlflowClient().delete_registered_model_alias("returns", CHAMPION)
    champion, _ = registry.restore_champion()
    assert champion.number == "2"


def test_a_version_that_was_rolled_back_does_not_come_back(new_version, predictor, tmp_path):
    registry.promote(new_version())
    registry.promote(new_files(predictor, tmp_path / "predictor"))
    registry.promote(new_version())
    registry.rollback()
    damage(registry.find("2"), "memory_events.parquet")
    champion, _ = registry.restore_champion()
    assert champion.number == "1"


def test_where_nothing_can_serve_the_reason_is_told(home, predictor, tmp_path):
    registry.promote(new_files(predictor, tmp_path / "predictor"))
    damage(registry.find("1"), "memory_events.parquet")
    champion, done = registry.restore_champion()
    assert champion is None
    assert "not those that were registered" in done


def test_versions_are_found_by_tag_newest_first(new_version):
    versions = [new_version() for _ in range(3)]
    for version in versions[:2]:
        MlflowClient().set_model_version_tag("returns", version.number, "retraining", "abc")
    found = registry.versions({"retraining": "abc"})
    assert [version.number for version in found] == ["2", "1"]
    assert registry.versions({"retraining": "def"}) == []


def test_a_busy_store_is_no_missing_champion(new_version, monkeypatch):
    registry.promote(new_version())
    busy = mlflow.MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)

    def locked(*_: object) -> None:
        raise busy

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "get_model_version_by_alias", locked)
        with pytest.raises(mlflow.MlflowException, match="database is locked"):
            registry.restore_champion()
    assert number_of(CHAMPION) == "1"
