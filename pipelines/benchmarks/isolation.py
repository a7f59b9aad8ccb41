"""Parts of cases, each measured in a fresh process of its own.

`python -m pipelines.benchmarks.isolation` is that process; it reads what to measure from its
standard input and writes what it measured into a file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pipelines.benchmarks.case import Settings
from pipelines.benchmarks.measurement import Measurement
from pipelines.benchmarks.numerical_threads import THREAD_VARIABLES
from pipelines.benchmarks.others import others_busy
from pipelines.benchmarks.registry import create


class PartFailed(RuntimeError):  # noqa: N818
    """The process that measured a part ended badly."""


@dataclass(frozen=True)
class MeasuredPart:
    """What one process measured, and when.

    Attributes:
        measurements: What it measured.
        began: When, in UTC, ISO 8601.
        others: Cores that other processes kept busy meanwhile, on average; None where the system
            does not tell (anything but Linux).
    """

    measurements: tuple[Measurement, ...]
    began: str
    others: float | None

    def to_json(self) -> dict[str, Any]:
        """The part as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The part that `to_json` wrote."""
        measurements = tuple(Measurement.from_json(row) for row in content["measurements"])
        return cls(measurements, content["began"], content["others"])


def measure_apart(case: str, part: str, settings: Settings) -> MeasuredPart:
    """Measure a part in a fresh process with as many threads and cores as the settings say.

    Raises:
        PartFailed: The process ended badly; it has said why on the standard error.
    """
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(settings.threads))
    plain = {**asdict(settings), "home": str(settings.home)}
    asked = json.dumps({"case": case, "part": part, "settings": plain})
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary) / "measured.json"
        command = [sys.executable, "-m", "pipelines.benchmarks.isolation", str(answer)]
        ended = subprocess.run(command, input=asked, text=True, env=environment)
        if ended.returncode:
            # A negative code is the signal that ended it: -9 often means too little memory.
            raise PartFailed(f"{case}, {part}: its process ended with code {ended.returncode}")
        return MeasuredPart.from_json(json.loads(answer.read_text()))


def measure_here(case: str, part: str, settings: Settings) -> MeasuredPart:
    """Measure a part in this process."""
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with others_busy() as others:
        measurements = tuple(create(case).measure(part, settings))
    return MeasuredPart(measurements, began, others.cores)


def main() -> None:
    """Measure what the standard input asks for; answer into the file that is named."""
    asked = json.loads(sys.stdin.read())
    settings = Settings(**{**asked["settings"], "home": Path(asked["settings"]["home"])})
    _use_cores(settings.threads)
    found = measure_here(asked["case"], asked["part"], settings)
    Path(sys.argv[1]).write_text(json.dumps(found.to_json()))


def _use_cores(number: int) -> None:
    """Keep this process to so many cores where the system can; some libraries ask for all."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])


if __name__ == "__main__":
    main()
