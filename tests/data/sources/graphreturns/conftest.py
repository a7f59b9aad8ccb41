"""Reading of a release, and what is wrong with one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from data.dataset import Manifest
from data.reporter import SilentReporter
from data.sources.base import SourceTables
from data.sources.graphreturns import GraphReturns
from data.validation import InputError

Frames = dict[str, pd.DataFrame]
Writer = Callable[..., Path]
SILENT = SilentReporter()
TABLES = ("event_table", "customer_nodes", "product_nodes")
SIX = [f"{table}_{period}" for table in TABLES for period in ("training", "testing")]


def read(folder: Path) -> SourceTables:
    return GraphReturns(folder).read(SILENT)


def faults(call: Callable[[], object]) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return [str(fault) for fault in caught.value.faults]


def digests(manifest: Manifest) -> dict[str, str]:
    return {table.name: table.sha256 for table in manifest.tables}
