"""Stages of a cycle, each written down when done: a killed cycle goes on where it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.files import atomic_file

Result = dict[str, Any]
"""What a stage came to, as JSON values."""


class Journal:
    """The stages of one cycle that are done, a file each.

    Attributes:
        folder: Of the cycle; what stages keep besides their result lies here too.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal, or begin it."""
        self.folder = folder

    def stage(self, name: str, do: Callable[[], Result]) -> Result:
        """The result of a stage: kept from before, or done now.

        Args:
            name: Of the stage.
            do: Does it, and may do it again where the process ended before the result was kept.
        """
        kept = self.result(name)
        if kept is not None:
            return kept
        result = do()
        with atomic_file(self._path(name)) as partial:
            partial.write_text(json.dumps(result, indent=1) + "\n")
        return result

    def result(self, name: str) -> Result | None:
        """The kept result of a stage; None if it is not done, or its file is damaged."""
        try:
            result: Result = json.loads(self._path(name).read_text())
        except (OSError, ValueError):
            return None
        return result

    def forget(self, *names: str) -> None:
        """Let stages be done again."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove this journal with all that stages kept, and those beside it."""
        for folder in self.folder.parent.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"
