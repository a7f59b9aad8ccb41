"""The dataset directory: indexed Parquet tables beside a manifest that says where they came from.

```
events.parquet            one row per order line, contiguous indices, original keys beside them
customers.parquet         one row per customer (and period)
variants.parquet          one row per variant (and period)
rejects.parquet           every row set aside, with its reason
true_probability.parquet  synthetic sources only; read by evaluation, never by a model
manifest.json             source, options, files, counts, digests
```
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.files import FileDigest, atomic_folder, digest_file
from data.indexing import index_keys, index_rows
from data.reporter import Reporter
from data.schema import (
    BASKET,
    CUSTOMER,
    CUSTOMER_ROW,
    EVENT,
    SCHEMA_VERSION,
    SPLITS,
    VARIANT,
    VARIANT_ROW,
    role_of,
)
from data.sources.base import Options, Source, SourceTables
from data.validation import Fault, InputError

TABLES = ("events", "customers", "variants", "rejects")
TRUE_PROBABILITY = "true_probability"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """Where a dataset came from and what is in it.

    Attributes:
        source: Name of the source.
        options: What shaped the reading.
        files: Identity of every input file.
        digest: SHA-256 over source, options, files and schema version: the dataset's identity.
        counts: Rows per table and split, quirks found and handled.
        missing_rows_leak: Node tables whose missing rows tell of the outcome.
        tables: Identity of every Parquet file of the directory.
        schema_version: Layout of the directory.
    """

    source: str
    options: Options
    files: tuple[FileDigest, ...]
    digest: str
    counts: Mapping[str, int]
    missing_rows_leak: tuple[str, ...]
    tables: tuple[FileDigest, ...]
    schema_version: int = SCHEMA_VERSION

    def return_rate(self, split: str) -> float | None:
        """Share of a split's labelled events that came back; None if none is labelled."""
        labelled = self.counts[f"labelled_{split}"]
        return self.counts[f"returned_{split}"] / labelled if labelled else None


@dataclass(frozen=True)
class Dataset:
    """The tables of a dataset directory in memory.

    Attributes:
        events: One row per order line; `event` is its row number.
        customers: Node rows; `events.customer_row` points here.
        variants: Node rows; `events.variant_row` points here.
        missing_rows_leak: Node tables whose missing rows tell of the outcome.
    """

    events: pa.Table
    customers: pa.Table
    variants: pa.Table
    missing_rows_leak: tuple[str, ...] = ()

    @property
    def is_dated(self) -> bool:
        """Whether events carry the date of the order."""
        return "time" in self.events.column_names

    def split_mask(self, *splits: str) -> np.ndarray:
        """Boolean mask of the events in any of the splits, shape `(num_events,)`."""
        chosen = pc.is_in(self.events["split"], value_set=pa.array(splits, pa.string()))
        return np.asarray(chosen.to_numpy(zero_copy_only=False), dtype=bool)


def ingest(source: Source, datasets: Path, reporter: Reporter) -> Path:
    """Bring a source's files into a dataset directory, unless that very directory exists.

    Args:
        source: Where the tables come from.
        datasets: Folder of all dataset directories.
        reporter: Told of progress.

    Returns:
        The dataset directory, named after the source and the digest of files and options.

    Raises:
        InputError: The files cannot be used; nothing has been written.
    """
    paths = source.files(reporter)
    files = tuple(digest_file(path) for path in paths)
    digest = _digest(source, files)
    folder = datasets / f"{source.name}-{digest[:12]}"
    if (folder / MANIFEST).exists():
        return folder
    tables = source.read(reporter)
    reporter.progress("index", 0, 2)
    dataset, counts = index_tables(tables)
    reporter.progress("index", 1, 2)
    with atomic_folder(folder) as partial:
        written = [
            _write(dataset.events, partial / "events.parquet"),
            _write(dataset.customers, partial / "customers.parquet"),
            _write(dataset.variants, partial / "variants.parquet"),
            _write(tables.rejects, partial / "rejects.parquet"),
        ]
        if tables.true_probability is not None:
            truth = pa.table({"probability": tables.true_probability})
            written.append(_write(truth, partial / f"{TRUE_PROBABILITY}.parquet"))
        manifest = Manifest(
            source=source.name,
            options=source.options,
            files=files,
            digest=digest,
            counts={**counts, **tables.counts},
            missing_rows_leak=tuple(tables.missing_rows_leak),
            tables=tuple(written),
        )
        (partial / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    reporter.progress("index", 2, 2)
    return folder


def open_dataset(folder: Path) -> tuple[Dataset, Manifest]:
    """Read a dataset directory after checking that it is whole and unchanged.

    Raises:
        InputError: The folder is no dataset directory, of another version, or a table is missing
            or differs from what the manifest says.
    """
    manifest = read_manifest(folder)
    faults = []
    for expected in manifest.tables:
        path = folder / expected.name
        if not path.exists():
            faults.append(Fault(str(path), "the table is missing", "Ingest again"))
        elif digest_file(path) != expected:
            remedy = "It was truncated or changed: delete the folder and ingest again"
            faults.append(Fault(str(path), "the content differs from the manifest", remedy))
    if faults:
        raise InputError(faults)
    dataset = Dataset(
        events=pq.read_table(folder / "events.parquet"),
        customers=pq.read_table(folder / "customers.parquet"),
        variants=pq.read_table(folder / "variants.parquet"),
        missing_rows_leak=manifest.missing_rows_leak,
    )
    return dataset, manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a dataset directory.

    Raises:
        InputError: There is none, or it is of another schema version.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise InputError([Fault(str(folder), "this is no dataset directory", "Run `ingest` first")])
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            message = f"schema version {version}, this program reads {SCHEMA_VERSION}"
            raise InputError([Fault(str(path), message, "Ingest again")])
        content["files"] = tuple(FileDigest(**file) for file in content["files"])
        content["tables"] = tuple(FileDigest(**table) for table in content["tables"])
        content["missing_rows_leak"] = tuple(content["missing_rows_leak"])
        return Manifest(**content)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        message = f"the manifest cannot be read ({error})"
        raise InputError([Fault(str(path), message, "Delete the folder, ingest again")]) from error


def read_true_probability(folder: Path) -> np.ndarray | None:
    """Each event's true return probability, float64 `(num_events,)`; None for real data.

    For evaluation alone: no model may read it.
    """
    path = folder / f"{TRUE_PROBABILITY}.parquet"
    if not path.exists():
        return None
    return np.asarray(pq.read_table(path)["probability"].to_numpy(), dtype=np.float64)


def index_tables(tables: SourceTables) -> tuple[Dataset, dict[str, int]]:
    """Give customers, variants, baskets and events contiguous indices and join the node rows.

    Args:
        tables: Canonical tables with original keys.

    Returns:
        The indexed dataset, and its counts of rows per table and split.
    """
    dataset = indexed(tables)
    return dataset, _count(dataset, tables)


def indexed(tables: SourceTables) -> Dataset:
    """The dataset of `index_tables` alone.

    Args:
        tables: Canonical tables with original keys.
    """
    events = tables.events
    customer_of_row, customer_of_event = index_keys(
        tables.customers["customer_key"], events["customer_key"]
    )
    variant_of_row, variant_of_event = index_keys(
        tables.variants["variant_key"], events["variant_key"]
    )
    periods = _periods(events["split"], tables.period_of_split)
    customer_row = index_rows(
        customer_of_row, _period_column(tables.customers), customer_of_event, periods
    )
    variant_row = index_rows(
        variant_of_row, _period_column(tables.variants), variant_of_event, periods
    )
    leading: list[tuple[pa.Field, pa.Array]] = [
        (EVENT, pa.array(np.arange(events.num_rows))),
        (CUSTOMER, pa.array(customer_of_event)),
        (VARIANT, pa.array(variant_of_event)),
        (CUSTOMER_ROW, customer_row),
        (VARIANT_ROW, variant_row),
    ]
    if "basket_key" in events.column_names:
        _, basket = index_keys(events["basket_key"].slice(0, 0), events["basket_key"])
        leading.append((BASKET, pa.array(basket)))
    return Dataset(
        events=_prepend(leading, events),
        customers=_prepend([(CUSTOMER, pa.array(customer_of_row))], tables.customers),
        variants=_prepend([(VARIANT, pa.array(variant_of_row))], tables.variants),
        missing_rows_leak=tuple(tables.missing_rows_leak),
    )


def _digest(source: Source, files: Sequence[FileDigest]) -> str:
    identity = {
        "source": source.name,
        "options": source.options,
        "files": [asdict(file) for file in files],
        "schema_version": SCHEMA_VERSION,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _write(table: pa.Table, path: Path) -> FileDigest:
    pq.write_table(table, path, compression="zstd")
    return digest_file(path)


def _prepend(leading: list[tuple[pa.Field, pa.Array]], table: pa.Table) -> pa.Table:
    fields = [field for field, _ in leading] + list(table.schema)
    for field in fields:
        role_of(field)
    columns = [array for _, array in leading] + table.columns
    return pa.table(columns, schema=pa.schema(fields))


def _periods(splits: pa.ChunkedArray, period_of_split: Mapping[str, str]) -> pa.ChunkedArray | None:
    if not period_of_split:
        return None
    known = list(period_of_split)
    position = pc.index_in(splits, value_set=pa.array(known, pa.string()))
    return pc.take(pa.array([period_of_split[split] for split in known], pa.string()), position)


def _period_column(table: pa.Table) -> pa.ChunkedArray | None:
    return table["period"] if "period" in table.column_names else None


def _count(dataset: Dataset, tables: SourceTables) -> dict[str, int]:
    counts = {
        "events": dataset.events.num_rows,
        "customers": dataset.customers.num_rows,
        "variants": dataset.variants.num_rows,
        "rejects": tables.rejects.num_rows,
    }
    for split in SPLITS:
        mask = dataset.split_mask(split)
        part = dataset.events.filter(pa.array(mask))
        counts[f"events_{split}"] = part.num_rows
        counts[f"labelled_{split}"] = part.num_rows - part["returned"].null_count
        counts[f"returned_{split}"] = pc.sum(part["returned"]).as_py() or 0
        counts[f"events_without_customer_row_{split}"] = part["customer_row"].null_count
        counts[f"events_without_variant_row_{split}"] = part["variant_row"].null_count
    return counts
