"""Order lines that arrive file by file: each file is read once, and its rows are kept.

What is kept of a file is named after the digest of its content, so a file that was renamed is not
read again, and one that was rewritten is.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.files import FileDigest, atomic_file, digest_file
from data.reporter import Reporter
from data.sources.tables import ReadTable
from data.validation import Fault, InputError

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq")

INDEX = "index.json"

SETTLED_NANOSECONDS = 2_000_000_000
"""A file changed less than this before it was digested may change again within one tick of the
clock that stamps it; its stamp is not trusted."""

SUMMARY = b"partition"
"""Key of what the metadata of a kept table say of its file."""


@dataclass(frozen=True)
class Partition:
    """A file of order lines whose rows are kept.

    Attributes:
        name: Name of the file.
        sha256: Of its content.
        bytes: Its size.
        kept: Parquet file of its rows without a fault; the rows set aside lie beside it.
        num_rows: Number of the rows without a fault.
        num_rejected: Number of rows set aside.
        first_day: Of the earliest order.
        last_day: Of the latest order.
        counts: What else was found and handled.
    """

    name: str
    sha256: str
    bytes: int
    kept: Path
    num_rows: int
    num_rejected: int
    first_day: date
    last_day: date
    counts: Mapping[str, int]

    def rows(self) -> pa.Table:
        """The rows without a fault, as `data.sources.tables.Tables.read_order_lines` gave them."""
        return pq.read_table(self.kept)

    def rejects(self) -> pa.Table:
        """The rows set aside, schema `data.schema.REJECTS`."""
        return pq.read_table(_rejects_path(self.kept))


def find_partitions(path: str) -> list[Path]:
    """The files that a path names: itself, those below a folder, or those a pattern matches.

    Files whose name begins with a dot or an underscore, and in folders those of other formats, are
    passed over: they are unfinished, or tell of others.

    Args:
        path: File, folder, or pattern such as `incoming/**/*.parquet`.

    Returns:
        In order of their paths: where two files have a row of the same key, the later one stands.

    Raises:
        InputError: There is none.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    if place.is_dir():
        found = [file for file in place.rglob("*") if file.name.lower().endswith(SUFFIXES)]
    else:
        found = list(Path(place.anchor).glob(str(place.relative_to(place.anchor))))
    files = sorted(file for file in found if file.is_file() and file.name[0] not in "._")
    if not files:
        message = "there is no file of order lines"
        remedy = f"Give a file, a folder or a pattern in quotes; known are {', '.join(SUFFIXES)}"
        raise InputError([Fault(path, message, remedy)])
    return files


class PartitionStore:
    """Rows of the files read so far, by the digest of their content."""

    def __init__(self, folder: Path, read: Callable[[Path], ReadTable]) -> None:
        """Open the store, or begin it.

        Args:
            folder: Of the kept rows; another one for each way of reading.
            read: Reads a file into order lines with a column `time`.
        """
        self._folder, self._read = folder, read

    def take_in(self, paths: Sequence[Path], reporter: Reporter) -> list[Partition]:
        """Read the files that are not kept yet.

        Args:
            paths: Files of order lines.
            reporter: Told of progress.

        Returns:
            A partition per content, in the order given.

        Raises:
            InputError: Files cannot be used; carries the faults of all of them. What could be read
                is kept.
        """
        known = self._known_stamps()
        faults: list[Fault] = []
        partitions: dict[str, Partition] = {}
        for done, path in enumerate(paths):
            reporter.progress("read partitions", done, len(paths))
            try:
                partition = self._partition(path, known)
                partitions.setdefault(partition.sha256, partition)
            except InputError as error:
                faults += error.faults
            except OSError as error:
                message = f"cannot be read ({error.strerror})"
                faults.append(Fault(str(path), message, "Check that it is there and readable"))
        self._keep_stamps({str(path.resolve()) for path in paths}, known)
        if faults:
            raise InputError(faults)
        reporter.progress("read partitions", len(paths), len(paths))
        return list(partitions.values())

    def _partition(self, path: Path, known: dict[str, list[int | str]]) -> Partition:
        digest = self._digest(path, known)
        kept = self._folder / f"{digest.sha256}.parquet"
        if not kept.exists():
            self._write(path, kept)
            if digest_file(path) != digest:
                kept.unlink()
                message = "the file changed while it was read"
                raise InputError([Fault(path.name, message, "Run again once it is complete")])
        summary = json.loads(pq.read_schema(kept).metadata[SUMMARY])
        return Partition(
            name=path.name,
            sha256=digest.sha256,
            bytes=digest.bytes,
            kept=kept,
            num_rows=summary["num_rows"],
            num_rejected=summary["num_rejected"],
            first_day=date.fromisoformat(summary["first_day"]),
            last_day=date.fromisoformat(summary["last_day"]),
            counts=summary["counts"],
        )

    def _digest(self, path: Path, known: dict[str, list[int | str]]) -> FileDigest:
        """Identity of a file, as noted before if size and time of change are those noted."""
        name, stat = str(path.resolve()), path.stat()
        noted = known.get(name)
        if noted is not None and noted[:2] == [stat.st_size, stat.st_mtime_ns]:
            return FileDigest(path.name, stat.st_size, str(noted[2]))
        digest = digest_file(path)
        known.pop(name, None)
        if time.time_ns() - stat.st_mtime_ns > SETTLED_NANOSECONDS:
            known[name] = [stat.st_size, stat.st_mtime_ns, digest.sha256]
        return digest

    def _write(self, path: Path, kept: Path) -> None:
        read = self._read(path)
        days = pc.min_max(read.table["time"]).as_py()
        summary = {
            "num_rows": read.table.num_rows,
            "num_rejected": read.rejects.num_rows,
            "first_day": days["min"].isoformat(),
            "last_day": days["max"].isoformat(),
            "counts": dict(read.counts),
        }
        with atomic_file(_rejects_path(kept)) as partial:
            pq.write_table(read.rejects, partial, compression="zstd")
        with atomic_file(kept) as partial:
            metadata = {**(read.table.schema.metadata or {}), SUMMARY: json.dumps(summary).encode()}
            table = read.table.replace_schema_metadata(metadata)
            pq.write_table(table, partial, compression="zstd")

    def _known_stamps(self) -> dict[str, list[int | str]]:
        try:
            stamps: dict[str, list[int | str]] = json.loads((self._folder / INDEX).read_text())
        except (OSError, json.JSONDecodeError):
            return {}
        return stamps

    def _keep_stamps(self, names: set[str], known: dict[str, list[int | str]]) -> None:
        stamps = {name: stamp for name, stamp in known.items() if name in names}
        with atomic_file(self._folder / INDEX) as partial:
            partial.write_text(json.dumps(stamps, indent=0))


def _rejects_path(kept: Path) -> Path:
    return kept.with_suffix(".rejects.parquet")
