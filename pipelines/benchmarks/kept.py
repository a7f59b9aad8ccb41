"""Measured parts that are kept, so that a killed run goes on where it was."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.files import atomic_file
from data.validation import Fault, InputError
from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.isolation import MeasuredPart


class KeptParts:
    """Parts in a JSON file, each under all that its figures depend on but code and machine."""

    def __init__(self, path: Path) -> None:
        """Read what is kept.

        Args:
            path: The file; it need not be there.

        Raises:
            InputError: It cannot be read.
        """
        self._path = path
        self._parts: dict[str, dict[str, Any]] = {}
        if path.exists():
            try:
                self._parts = json.loads(path.read_text())
            except json.JSONDecodeError as error:
                message = f"the kept measurements cannot be read ({error})"
                raise InputError([Fault(str(path), message, "Delete the file")]) from error

    def get(self, case: str, part: str, settings: Settings) -> MeasuredPart | None:
        """The part if it is kept."""
        content = self._parts.get(_key(case, part, settings))
        return None if content is None else MeasuredPart.from_json(content)

    def put(self, case: str, part: str, settings: Settings, measured: MeasuredPart) -> None:
        """Keep a part."""
        self._parts[_key(case, part, settings)] = measured.to_json()
        with atomic_file(self._path) as partial:
            partial.write_text(json.dumps(self._parts, indent=1) + "\n")


def _key(case: str, part: str, settings: Settings) -> str:
    dependence = {key: value for key, value in asdict(settings).items() if key != "home"}
    return json.dumps({"case": case, "part": part, **dependence}, sort_keys=True)
