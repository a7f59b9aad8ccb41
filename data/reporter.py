"""How long work tells its caller what it is doing, without knowing who listens."""

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Receives progress and per-step metrics of long work.

    The rooms call it; `pipelines` decides whether that becomes a progress bar, an MLflow metric
    or nothing.
    """

    def progress(self, task: str, completed: float, total: float | None = None) -> None:
        """Say that `completed` of `total` units (None: unknown) of `task` are done."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics of one training step or epoch."""


class SilentReporter:
    """A reporter that ignores everything."""

    def progress(self, task: str, completed: float, total: float | None = None) -> None:
        """Ignore the progress."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Ignore the metrics."""
