"""What the service tells Prometheus."""

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from pipelines.service.answer import ScoredLine
from pipelines.service.served import ServedModel

SECONDS = (0.0025, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
TENTHS = tuple(number / 10 for number in range(1, 11))


class Metrics:
    """Counters of one service.

    Attributes:
        requests: Answered requests by path and status.
        seconds: Time to answer, by path.
        in_progress: Requests to score that are being answered.
        lines: Lines scored, by decision.
        probability: Probabilities given.
        reloads: Attempts to load another model, by outcome.
        model: 1 for the model that serves.
        loaded: When it was loaded, in Unix seconds.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "returns_requests", "Answered requests", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "returns_request_seconds",
            "Time to answer a request",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "returns_requests_in_progress", "Requests to score under way", registry=registry
        )
        self.lines = Counter(
            "returns_lines_scored", "Order lines scored", ["decision"], registry=registry
        )
        self.probability = Histogram(
            "returns_probability",
            "Probability of a return",
            buckets=TENTHS,
            registry=registry,
        )
        self.reloads = Counter(
            "returns_model_reloads",
            "Attempts to load another model",
            ["outcome"],
            registry=registry,
        )
        self.model = Gauge(
            "returns_model_info",
            "The model that serves",
            ["version", "kind", "source", "protocol"],
            registry=registry,
        )
        self.loaded = Gauge(
            "returns_model_loaded_timestamp_seconds",
            "When the model that serves was loaded",
            registry=registry,
        )
        for outcome in ("done", "failed"):
            self.reloads.labels(outcome)

    def serves(self, served: ServedModel) -> None:
        """Another model serves."""
        model = served.model
        self.model.clear()
        self.model.labels(model.version or "", model.kind, model.source, model.protocol).set(1)
        self.loaded.set(served.loaded_at.timestamp())

    def scored(self, lines: Sequence[ScoredLine]) -> None:
        """Lines were scored."""
        for line in lines:
            self.lines.labels(str(line.decision)).inc()
            self.probability.observe(line.probability)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
