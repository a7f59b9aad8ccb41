"""Data by name: what is read, what is missing, what a run's identity depends on."""

from dataclasses import replace
from pathlib import Path

import pytest

from data.reporter import SilentReporter
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.reading import DataPlaces
from pipelines.home import Home
from pipelines.source_arguments import SourceArguments


@pytest.fixture
def places(tmp_path: Path) -> DataPlaces:
    tables = SourceArguments(scale=0.002)
    return DataPlaces(None, None, "twin", tables, Home.prepare(tmp_path), SilentReporter())


def test_files_that_are_not_named_are_missing(places: DataPlaces, tmp_path: Path) -> None:
    for name, option in (("cifar10", "--images"), ("superconductivity", "--superconductivity")):
        fault = places.missing(DataOptions(name, 10, 5, 5))  # type: ignore[arg-type]
        assert fault is not None and fault.file == option
    named = replace(places, images=tmp_path, superconductivity=tmp_path / "train.csv")
    for name in ("cifar10", "superconductivity", "digits", "teacher", "wine", "returns"):
        assert named.missing(DataOptions(name, 10, 5, 5)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["teacher", "digits", "wine"])
def test_data_that_need_no_file(places: DataPlaces, name: str) -> None:
    options = DataOptions(name, 40, 20, 20)  # type: ignore[arg-type]
    data = places.read(options)
    assert [len(part) for part in data.parts.values()] == [40, 20, 20]
    assert data.name == options.title
    assert places.fingerprint(options) == ""


def test_noise_is_in_the_labels_and_in_the_name(places: DataPlaces) -> None:
    clean = places.read(DataOptions("teacher", 400, 20, 20))
    noisy = places.read(DataOptions("teacher", 400, 20, 20, label_noise=0.5))
    assert noisy.name == "teacher (synthetic), 50% label noise"
    assert (noisy.train.targets != clean.train.targets).any()


def test_order_lines_come_from_the_source_and_are_known_by_its_digest(places: DataPlaces) -> None:
    options = DataOptions("returns", 50, 20, 20)
    data = places.read(options)
    assert data.name == "returns of twin (synthetic)"
    assert (data.num_outputs, data.width % 2) == (2, 0)
    assert len(places.fingerprint(options)) == 64


def test_a_file_is_known_by_its_content(places: DataPlaces, tmp_path: Path) -> None:
    options = DataOptions("superconductivity", 10, 5, 5)
    path = tmp_path / "train.csv"
    named = replace(places, superconductivity=path)
    path.write_text("one")
    first = named.fingerprint(options)
    path.write_text("two")
    assert named.fingerprint(options) != first
