"""The words of a command line that stand for given options."""

from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any


def command_words(arguments: Any) -> list[str]:
    """Words that a command parses into equal options; those left at their default are left out.

    Args:
        arguments: Dataclass of a command's options, as `run_command` parses it; nested ones have no
            prefix.
    """
    words: list[str] = []
    for each in fields(arguments):
        value = getattr(arguments, each.name)
        if is_dataclass(value):
            words += command_words(value)
        elif value != _default(each):
            words += _option(each.name.replace("_", "-"), value)
    return words


def _option(name: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, (tuple, list)) else (value,)
    return [f"--{name}", *map(_word, values)]


def _word(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (str, int, float, Path)):
        return str(value)
    raise TypeError(f"{value!r} is no word of a command line")


def _default(option: Field[Any]) -> object:
    return option.default_factory() if option.default_factory is not MISSING else option.default
