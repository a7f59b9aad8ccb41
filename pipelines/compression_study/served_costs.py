"""What a predictor takes to store and to score with, beside another one."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import pyarrow.compute as pc

from data.schema import BASKET_KEY
from data.sources.base import SourceTables
from returns.event_set import EventSet
from returns.memory import Memory
from returns.predictor import ReturnPredictor
from returns.resident.predictor import ResidentPredictor

BASKET_ROUNDS, BATCH_ROUNDS = 30, 3
"""Measurements of each figure, whose median it is."""

ROWS = 10_000
"""Rows that the time of a long file is given for."""


def stored_bytes(predictor: ReturnPredictor) -> dict[str, int]:
    """Bytes of a predictor on disk: `weights`, the whole `model`, and `all` with its memory."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        predictor.save(folder)
        model = list((folder / "model").iterdir())
        return {
            "weights": _bytes([path for path in model if path.suffix == ".safetensors"]),
            "model": _bytes(model),
            "all": _bytes([path for path in folder.rglob("*") if path.is_file()]),
        }


def scoring_milliseconds(
    predictors: Mapping[str, ReturnPredictor], events: EventSet
) -> dict[str, dict[str, float]]:
    """Processor time of scoring, in turns, so that what else the machine does meets all alike.

    Args:
        predictors: By name.
        events: Prepared events of a long file.

    Returns:
        By the predictors' names: `basket`, of one order as `serve` scores it, and `rows`, of
        `ROWS` prepared order lines; in ms.
    """
    residents = {name: ResidentPredictor.of(each) for name, each in predictors.items()}
    order = last_order(next(iter(predictors.values())).memory)
    of_basket = {name: partial(each.score, order) for name, each in residents.items()}
    of_rows = {name: partial(each.model.predict_proba, events) for name, each in predictors.items()}
    basket, rows = _medians(of_basket, BASKET_ROUNDS), _medians(of_rows, BATCH_ROUNDS)
    return {
        name: {"basket": basket[name], "rows": rows[name] * ROWS / len(events)}
        for name in predictors
    }


def last_order(memory: Memory) -> SourceTables:
    """The lines of the last order that is remembered; one line where orders are unknown."""
    tables, last = memory.tables, memory.last(1)
    if BASKET_KEY.name not in tables.events.column_names:
        return last
    is_same = pc.equal(tables.events[BASKET_KEY.name], last.events[BASKET_KEY.name][0])
    return replace(last, events=tables.events.filter(is_same))


def _medians(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor time of each, in ms; a first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, do in work.items():
            started = time.process_time()
            do()
            if turn > 0:
                taken[name].append(1000 * (time.process_time() - started))
    return {name: median(times) for name, times in taken.items()}


def _bytes(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)
