"""The model that serves changes when the alias moves, and never to one that cannot serve."""

import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipelines import registry
from pipelines.registry import CHAMPION, REGISTERED_MODEL
from pipelines.service.holder import LONGEST_WAIT_S, Holder, Watch
from pipelines.service.metrics import Metrics
from tests.pipelines.service.conftest import MOST_LINES


class Clock:
    """Tells the seconds that a test wants it to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def holder(served) -> Holder:
    return Holder(served, Metrics())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(holder, clock) -> Watch:
    return Watch(holder, MOST_LINES, every_s=10.0, clock=clock)


def point_to(version: registry.Version) -> None:
    MlflowClient().set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version.number)


def damage(version: registry.Version, files: str) -> None:
    """Let the version's files seem to be others than those that were registered."""
    MlflowClient().set_model_version_tag(
        REGISTERED_MODEL, version.number, registry.FILES_TAG, files
    )


def test_nothing_happens_while_the_alias_stays(versions, holder, watch, served):
    assert watch.is_needed
    assert not watch.look()
    assert holder.current is served
    assert holder.last_failure is None


def test_the_version_that_the_alias_moves_to_takes_over(versions, holder, watch, lines):
    second = versions()
    point_to(second)
    assert watch.look()
    assert holder.current.model.version == second.number
    assert holder.current.model.uri == "models:/returns@champion"
    assert not watch.look()


def test_a_version_that_cannot_serve_is_put_off_and_tried_again(
    versions, holder, watch, clock, served
):
    second = versions()
    sound = second.tags[registry.FILES_TAG]
    damage(second, "0" * 64)
    point_to(second)
    attempts = []
    for _ in range(200):
        assert not watch.look()
        attempts.append(holder._metrics.reloads.labels("failed")._value.get())
        clock.seconds += 1.0
    assert holder.current is served
    assert "are not those that were registered" in holder.last_failure
    # After 10, 20, 40 and 80 seconds: each attempt reads the files, and they may be large.
    assert attempts[-1] == 5
    damage(second, sound)
    clock.seconds += LONGEST_WAIT_S
    assert watch.look()
    assert holder.current.model.version == second.number
    assert holder.last_failure is None


def test_an_alias_that_returns_clears_the_failure(versions, holder, watch, served):
    first, second = registry.version_of(CHAMPION), versions()
    damage(second, "")
    point_to(second)
    assert not watch.look()
    assert holder.last_failure is not None
    point_to(first)
    assert not watch.look()
    assert holder.last_failure is None
    assert holder.current is served


def test_the_model_serves_on_when_its_alias_is_deleted(versions, holder, watch, served):
    MlflowClient().delete_registered_model_alias(REGISTERED_MODEL, CHAMPION)
    assert not watch.look()
    assert holder.current is served
    assert holder.last_failure == "the alias points to no version"


def test_a_registry_that_cannot_be_asked_is_asked_again(versions, holder, served, monkeypatch):
    version_of, asked = registry.version_of, []

    def flaky(alias):
        asked.append(alias)
        if len(asked) <= 2:
            raise MlflowException("https://user:secret@registry is gone")
        return version_of(alias)

    second = versions()
    point_to(second)
    monkeypatch.setattr(registry, "version_of", flaky)
    watch = Watch(holder, MOST_LINES, every_s=0.02)
    watch.start()
    try:
        wait_until(lambda: holder.last_failure is not None)
        assert "secret" not in holder.last_failure
        wait_until(lambda: holder.current.model.version == second.number)
    finally:
        watch.stop()


def test_only_an_alias_is_watched(served, holder):
    model = served.model.model_copy(update={"uri": "models:/returns/1"})
    other = Holder(type(served)(**{**vars(served), "model": model}), Metrics())
    assert not Watch(other, MOST_LINES, every_s=1.0).is_needed


def wait_until(holds) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")
