from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import tyro

from pipelines import retrain
from pipelines.command_words import command_words
from pipelines.retraining.settings import Settings


def parsed(words: list[str]) -> retrain.Arguments:
    return tyro.cli(retrain.Arguments, args=words, config=(tyro.conf.OmitArgPrefixes,))


@pytest.mark.parametrize(
    "arguments",
    [
        retrain.Arguments(),
        retrain.Arguments(
            settings=Settings(
                source="tables",
                path="incoming/**/*.parquet",
                mapping=Path("mapping.yaml"),
                models=("logistic", "gnn"),
                epochs=3,
                most_rejected=0.1,
            ),
            today=date(2013, 1, 7),
            dry_run=True,
            home=Path("/var/lib/returns"),
        ),
    ],
)
def test_the_words_are_parsed_into_equal_options(arguments):
    assert parsed(command_words(arguments)) == arguments


def test_defaults_are_left_out():
    assert command_words(retrain.Arguments()) == []


def test_what_is_no_word_is_refused():
    @dataclass
    class Odd:
        value: object = None

    with pytest.raises(TypeError, match="no word"):
        command_words(Odd(value=object()))
