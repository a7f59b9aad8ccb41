"""What the last finished cycle of a home came to: against a clock set back and a store gone."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from data.files import atomic_file
from data.validation import Fault, InputError
from pipelines import registry
from pipelines.command import NotNowError
from pipelines.home import Home
from pipelines.redaction import without_credentials

FILE = "last.json"


@dataclass(frozen=True)
class LastCycle:
    """The last finished cycle.

    Attributes:
        key: Of its order lines and options.
        cycle: Its id, which its runs and versions carry.
        today: The day it took for today, ISO 8601.
        last_day: Day of its latest order, ISO 8601.
        finished_at: When it was over, ISO 8601 with time zone.
        version: Number of the version that it registered.
        findings: What it found, as `Findings.to_json` wrote it; None where that was lost.
        files: Where the rows of the files that it learned from are kept, under `Home.partitions`:
            named after how they were read and the SHA-256 of the file; empty where an older version
            wrote this.
    """

    key: str
    cycle: str
    today: str
    last_day: str
    finished_at: str
    version: str | None
    findings: dict[str, Any] | None
    files: Sequence[str] = ()

    @classmethod
    def read(cls, home: Home) -> "LastCycle | None":
        """What a home remembers; None before its first cycle, or if the file is damaged."""
        try:
            return cls(**json.loads(_path(home).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, home: Home) -> None:
        """Remember this cycle."""
        with atomic_file(_path(home)) as partial:
            partial.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def check_clock(self, today: date) -> None:
        """See that time has not run backwards since.

        Raises:
            InputError: It has.
        """
        if today < date.fromisoformat(self.today):
            message = f"today is {today}, and the last cycle was on {self.today}"
            raise InputError([Fault("the clock", message, "Set the clock, or correct --today")])


def check_database(home: Home, last: LastCycle | None) -> None:
    """See that MLflow's database is there if it was: no empty one must take its place.

    To be called before anything connects to it.

    Raises:
        NotNowError: It is gone.
    """
    database = home.root / "mlflow.db"
    if last is not None and home.tracks_here and not database.exists():
        raise NotNowError(_gone(home, f"MLflow's database {shlex.quote(str(database))} is gone"))


def check_registry(home: Home, last: LastCycle | None) -> None:
    """See that the registry knows the model if a cycle has registered it.

    Raises:
        NotNowError: It does not.
    """
    if last is not None and not registry.is_known():
        store = shlex.quote(without_credentials(home.tracking_uri))
        raise NotNowError(_gone(home, f"{store} knows no model of the cycles before"))


def _gone(home: Home, what: str) -> str:
    file = shlex.quote(str(_path(home)))
    return f"{what}. Bring it back; to begin anew without it, delete {file}"


def _path(home: Home) -> Path:
    return home.retraining / FILE
