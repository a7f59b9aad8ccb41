"""The order lines that there are, and the key by which a cycle over them is known."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from data.files import digest_file
from data.partitions import Partition, PartitionStore, find_partitions
from data.reporter import Reporter
from data.sources.tables import Tables
from pipelines.retraining.settings import Settings


def take_in(
    settings: Settings, tables: Tables, folder: Path, reporter: Reporter
) -> list[Partition]:
    """Read the files that are new.

    Args:
        settings: Which files.
        tables: Reads them.
        folder: Of the rows of all files read so far.
        reporter: Told of progress.

    Raises:
        InputError: There are no files, or they cannot be used; carries the faults of all of them.
    """
    assert settings.path is not None
    # Rows that were read another way are other rows.
    way = _digest(tables.mapping.events.as_json())[:12]
    kept = folder / f"{settings.source}-{way}"
    kept.mkdir(parents=True, exist_ok=True)
    store = PartitionStore(kept, tables.read_order_lines)
    return store.take_in(find_partitions(settings.path), reporter)


def cycle_key(settings: Settings, tables: Tables, files: Sequence[str]) -> str:
    """What a cycle is known by: order lines, node tables and options, but not the day it is.

    Args:
        settings: The options.
        tables: Reads the order lines.
        files: SHA-256 of each file of order lines.
    """
    return _digest(
        {
            "settings": settings.identity(),
            "mapping": tables.mapping.as_json(),
            "files": list(files),
            "nodes": [digest_file(path).sha256 for path in tables.node_files()],
        }
    )[:16]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
