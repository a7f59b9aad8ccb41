"""Which model serves, and the watch for the next one."""

import logging
import threading
import time
from collections.abc import Callable

from pipelines import registry
from pipelines.redaction import told
from pipelines.service.metrics import Metrics
from pipelines.service.served import ServedModel, alias_of, load_version

LONGEST_WAIT_S = 300.0
"""Between attempts to load a version that could not be loaded."""

logger = logging.getLogger(__name__)


class Holder:
    """Holds the model that serves; another takes its place at once, between two requests.

    Attributes:
        current: The model that serves.
        last_failure: Why the latest attempt to load another failed; None if it did not.
    """

    def __init__(self, first: ServedModel, metrics: Metrics) -> None:
        """Serve a model.

        Args:
            first: The model to begin with.
            metrics: Told of every change.
        """
        self.current = first
        self.last_failure: str | None = None
        self._metrics = metrics
        metrics.serves(first)

    def take(self, served: ServedModel) -> None:
        """Serve another model from now on."""
        self.current, self.last_failure = served, None
        self._metrics.serves(served)
        self._metrics.reloads.labels("done").inc()

    def keep(self, why: str) -> None:
        """Go on with the model that serves."""
        self.last_failure = why
        self._metrics.reloads.labels("failed").inc()


class Watch:
    """Asks the registry now and then whether the alias has moved, and loads what it points to.

    The model that serves goes on until another is loaded, verified and ready. A version that cannot
    serve is tried again later, less and less often.
    """

    def __init__(
        self,
        holder: Holder,
        most_lines: int,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the watch.

        Args:
            holder: Holds the model that serves.
            most_lines: Lines of a request at most.
            every_s: Seconds between two questions to the registry.
            clock: Tells seconds.
        """
        self._holder, self._most_lines = holder, most_lines
        self._every_s, self._clock = every_s, clock
        self._alias = alias_of(holder.current.model.uri)
        self._failed: str | None = None
        self._wait_s, self._not_before = every_s, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)

    @property
    def is_needed(self) -> bool:
        """Whether the model that serves is named by an alias, which may move."""
        return self._alias is not None

    def start(self) -> None:
        """Watch in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; a model that is just being loaded is given up."""
        self._stop.set()

    def look(self) -> bool:
        """Ask once.

        Returns:
            Whether another model serves now.
        """
        version = registry.version_of(self._alias or "")
        if version is None:
            self._holder.keep("the alias points to no version")
            return False
        served = self._holder.current
        if version.number == served.model.version:
            self._failed, self._holder.last_failure = None, None
            return False
        if version.number == self._failed and self._clock() < self._not_before:
            return False
        try:
            found = load_version(version, served.model.uri, self._most_lines)
        except Exception as error:
            self._put_off(version.number)
            self._holder.keep(told(error))
            logger.error("version %s cannot serve: %s", version.number, told(error))
            return False
        if self._stop.is_set():
            return False
        self._failed, self._wait_s = None, self._every_s
        self._holder.take(found)
        logger.info("version %s serves", version.number)
        return True

    def _put_off(self, number: str) -> None:
        self._wait_s = self._every_s if number != self._failed else 2 * self._wait_s
        self._wait_s = min(self._wait_s, LONGEST_WAIT_S)
        self._failed, self._not_before = number, self._clock() + self._wait_s

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.look()
            except Exception as error:
                self._holder.keep(told(error))
                logger.warning("the registry cannot be asked: %s", told(error))
