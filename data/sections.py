"""Typed reading of a nested document that a person wrote; every fault is kept, none stops."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TypeVar

from data.validation import Fault

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass
class Faults:
    """Collects what is wrong with one document.

    Attributes:
        file: Name of the document as the user knows it.
        whole: What to call the document as a whole, such as `the mapping`.
        page: Page of the documentation that tells what the keys mean.
        found: The faults so far.
    """

    file: str
    whole: str
    page: str
    found: list[Fault] = field(default_factory=list)

    def add(self, place: str, message: str, remedy: str) -> None:
        """Note a fault at a place such as `events.columns.price`."""
        self.found.append(Fault(self.file, f"{place or self.whole}: {message}", remedy))


class Section:
    """A mapping inside the document, read key by key; what was not asked for is a fault.

    A key whose value is null counts as absent.
    """

    def __init__(self, place: str, content: object, faults: Faults) -> None:
        """Start reading.

        Args:
            place: Where the section stands in the document.
            content: What stands there.
            faults: Where faults go.
        """
        self.place = place
        self.faults = faults
        self._asked: list[str] = []
        self._content: dict[str, object] = {}
        if not isinstance(content, Mapping):
            self.fault("this is no list of `key: value` lines", f"Found: {content!r}")
            return
        for key, value in content.items():
            if not isinstance(key, str):
                self.fault(f"the key {key!r} is no text", "Put quotes around it")
            elif value is not None:
                self._content[key] = value

    def fault(self, message: str, remedy: str) -> None:
        """Note a fault of this section."""
        self.faults.add(self.place, message, remedy)

    def raw(self, key: str) -> object:
        """Whatever stands at a key; None if nothing."""
        self._asked.append(key)
        return self._content.get(key)

    def __iter__(self) -> Iterator[str]:
        """The keys present, in the document's order."""
        return iter(self._content)

    def __contains__(self, key: str) -> bool:
        """Whether a key is present."""
        return key in self._content

    def section(self, key: str) -> "Section":
        """The section at a key, an empty one if absent."""
        value = self.raw(key)
        return Section(self._at(key), {} if value is None else value, self.faults)

    def required(self, key: str) -> None:
        """Note a fault if a key is absent."""
        if key not in self._content:
            remedy = f"Add it; {self.faults.page} tells what it means"
            self.fault(f"'{key}' is missing", remedy)

    def text(self, key: str) -> str | None:
        """Text at a key; a whole number counts as its digits."""
        value = self.raw(key)
        return None if value is None else self._text(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of texts at a key; empty if absent."""
        value = self.raw(key)
        if value is None:
            return ()
        given = value if isinstance(value, (list, tuple)) else [value]
        read = [self._text(key, each) for each in given]
        texts = tuple(text for text in read if text is not None)
        if len(set(texts)) < len(texts):
            self.faults.add(self._at(key), "a value stands there twice", "Name each once")
        return texts

    def choice(self, key: str, choices: Iterable[Choice]) -> Choice | None:
        """One of several words at a key."""
        value = self.raw(key)
        allowed = {choice.value: choice for choice in choices}
        if value is None or (isinstance(value, str) and value in allowed):
            return None if value is None else allowed[str(value)]
        self._wrong(key, value, f"one of: {', '.join(allowed)}")
        return None

    def number(self, key: str) -> float | None:
        """A finite number at a key."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value):
            return float(value)
        self._wrong(key, value, "a number")
        return None

    def day(self, key: str) -> date | None:
        """A date at a key, written as 2013-02-01."""
        value = self.raw(key)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        try:
            return None if value is None else date.fromisoformat(str(value))
        except ValueError:
            self._wrong(key, value, "a date such as 2013-02-01")
            return None

    def flags(self, key: str) -> dict[str, int]:
        """Texts and the 0 or 1 that each means; empty if absent."""
        value = self.raw(key)
        if value is None:
            return {}
        if isinstance(value, Mapping) and any(isinstance(text, bool) for text in value):
            self._wrong(key, value, "texts in quotes: YAML reads a bare yes or no as a truth value")
            return {}
        if isinstance(value, Mapping) and all(_is_flag(number) for number in value.values()):
            return {str(self._text(key, text)): int(number) for text, number in value.items()}
        self._wrong(key, value, "texts and the 0 or 1 that each means, such as {'yes': 1, 'no': 0}")
        return {}

    def end(self) -> None:
        """Note every key that nobody asked for."""
        allowed = ", ".join(dict.fromkeys(self._asked))
        for key in self._content:
            if key not in self._asked:
                self.fault(f"unknown key '{key}'", f"Allowed: {allowed}")

    def _text(self, key: str, value: object) -> str | None:
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        self._wrong(key, value, "text; put quotes around it")
        return None

    def _wrong(self, key: str, value: object, wanted: str) -> None:
        self.faults.add(self._at(key), f"{value!r} cannot stand here", f"Wanted: {wanted}")

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def _finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max


def _is_flag(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in (0, 1)
