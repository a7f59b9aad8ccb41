"""Files: digests, and writes that are either whole or absent."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_open: set[str] = set()
"""Names of the temporaries that this process writes at the moment."""


@dataclass(frozen=True)
class FileDigest:
    """Identity of a file's content.

    Attributes:
        name: File name without folder.
        bytes: Size.
        sha256: Hexadecimal SHA-256 of the content.
    """

    name: str
    bytes: int
    sha256: str


def digest_file(path: Path) -> FileDigest:
    """Size and SHA-256 of a file."""
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileDigest(path.name, path.stat().st_size, sha256)


def digest_folder(folder: Path, pattern: str = "*") -> str:
    """Hexadecimal SHA-256 over the paths and contents of the files below a folder.

    Args:
        folder: The folder.
        pattern: Names of the files that count.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{digest_file(path).sha256} {name}\n".encode())
    return digest.hexdigest()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well, else is removed.

    Leftovers of killed processes are swept when the same target is written again. If another
    process finished the same target first, its result stands.

    Args:
        target: Folder that must not exist half-written.

    Yields:
        The folder to write into.
    """
    with _temporary(target) as temporary:
        temporary.mkdir()
        try:
            yield temporary
            if target.exists():
                shutil.rmtree(temporary)
            else:
                temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path that replaces `target` when the block ends well, else is removed."""
    with _temporary(target) as temporary:
        try:
            yield temporary
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def sweep_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`; a live process's files stay.

    In containers every process has the number 1: what bears this process's own number and is not
    open here is of one before it.
    """
    for leftover in target.parent.glob(f".{target.name}.*.partial"):
        process = leftover.name.removeprefix(f".{target.name}.").split(".")[0]
        if not process.isdigit():
            continue
        is_own = int(process) == os.getpid()
        is_live = leftover.name in _open if is_own else is_alive(int(process))
        if not is_live:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A path beside `target` that says which process writes there; the place is swept first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")
    _open.add(temporary.name)
    try:
        yield temporary
    finally:
        _open.discard(temporary.name)
