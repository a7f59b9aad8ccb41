"""Downloading the files of a project on the Open Science Framework, checked and resumable."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from data.files import digest_file
from data.reporter import Reporter
from data.validation import Fault, InputError

API = "https://api.osf.io/v2"
TIMEOUTS_SECONDS = (10.0, 60.0)
"""Longest wait for a connection, and for the next bytes of an answer."""

CHUNK_BYTES = 1 << 16
"""Bytes written at a time; of a broken connection, less than that is lost."""
MOST_REDIRECTS = 10
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP answers that may be better the next time."""
BREAKS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
"""How a connection breaks."""

_WHOLE, _PARTIAL, _BAD_RANGE = 200, 206, 416


@dataclass(frozen=True)
class RemoteFile:
    """A file as it must arrive.

    Attributes:
        name: Name in the project and in the folder.
        bytes: Size.
        sha256: Hexadecimal SHA-256 of the content.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Patience:
    """How often a fruitless request is repeated.

    Attributes:
        attempts: Requests in a row that bring nothing new before giving up.
        first_wait_seconds: Wait before the second of them, doubled before each further one.
        longest_wait_seconds: No wait is longer.
    """

    attempts: int = 6
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0

    def wait(self, failures: int) -> None:
        """Sleep before the next request after `failures` fruitless ones."""
        time.sleep(min(self.first_wait_seconds * 2 ** (failures - 1), self.longest_wait_seconds))


@dataclass(frozen=True)
class OsfProject:
    """The file storage of an OSF project.

    Attributes:
        project: Identifier, e.g. `c793h`.
        api: Base address of the API. Everything is fetched over HTTPS; the API's own host alone
            may be named with another scheme.
        patience: How often a fruitless request is repeated.
    """

    project: str
    api: str = API
    patience: Patience = Patience()

    @property
    def page(self) -> str:
        """Where a person finds the files."""
        return f"https://osf.io/{self.project}/"

    def download(self, files: Sequence[RemoteFile], folder: Path, reporter: Reporter) -> None:
        """Bring files into a folder; those already there with the right content stay.

        A broken download leaves `NAME.part`, which the next call continues.

        Args:
            files: What to fetch.
            folder: Created if absent.
            reporter: Told of the bytes of each file.

        Raises:
            InputError: A file cannot be had or is not what was expected; carries the faults of
                all files. Files that did arrive stay.
        """
        wanted = [file for file in files if not _is_complete(folder / file.name, file)]
        if not wanted:
            return
        folder.mkdir(parents=True, exist_ok=True)
        _check_space(wanted, folder)
        with requests.Session() as session:
            listing = self._list(session)
            faults = self._compare(wanted, listing)
            if faults:
                raise InputError(faults)
            for file in wanted:
                try:
                    self._fetch(session, file, listing[file.name].address, folder, reporter)
                except InputError as error:
                    faults += error.faults
        if faults:
            raise InputError(faults)

    def _list(self, session: requests.Session) -> dict[str, "_Listed"]:
        """Every file of the project's storage by name, over all pages of the listing."""
        listed: dict[str, _Listed] = {}
        address: str | None = f"{self.api}/nodes/{self.project}/files/osfstorage/"
        visited: set[str] = set()
        while address is not None and address not in visited:
            visited.add(address)
            page = self._get_json(session, address)
            try:
                for entry in page["data"]:
                    if entry["attributes"]["kind"] == "file":
                        listed[entry["attributes"]["name"]] = _Listed.from_entry(entry)
                address = page["links"].get("next")
            except (KeyError, TypeError, AttributeError) as error:
                raise self._fault(self.api, "the listing of files is not as expected") from error
        return listed

    def _get_json(self, session: requests.Session, address: str) -> Any:
        failures = 0
        while True:
            try:
                with self._open(session, address, {}) as answer:
                    return answer.json()
            except _PassingError as error:
                failures += 1
                self._wait_or_give_up(address, failures, error)
            except requests.JSONDecodeError as error:
                raise self._fault(address, "the answer is no JSON") from error

    def _compare(
        self, wanted: Sequence[RemoteFile], listing: Mapping[str, "_Listed"]
    ) -> list[Fault]:
        remedy = f"The release may have changed: look at {self.page}"
        faults = []
        for file in wanted:
            listed = listing.get(file.name)
            if listed is None:
                faults.append(Fault(file.name, "the project does not list the file", remedy))
            elif listed.bytes not in (None, file.bytes) or listed.sha256 not in (None, file.sha256):
                message = "the project lists another size or checksum than expected"
                faults.append(Fault(file.name, message, remedy))
        return faults

    def _fetch(
        self,
        session: requests.Session,
        file: RemoteFile,
        address: str,
        folder: Path,
        reporter: Reporter,
    ) -> None:
        part = folder / f"{file.name}.part"
        if _bytes_of(part) > file.bytes:
            part.unlink()
        furthest, failures = _bytes_of(part), 0
        while _bytes_of(part) < file.bytes:
            try:
                self._continue(session, file, address, part, reporter)
            except _PassingError as error:
                failures = 1 if _bytes_of(part) > furthest else failures + 1
                furthest = max(furthest, _bytes_of(part))
                self._wait_or_give_up(file.name, failures, error)
        if not _is_complete(part, file):
            part.unlink()
            message = "what arrived differs in size or checksum from the release; it was deleted"
            remedy = f"Try again; if it happens twice, fetch the file from {self.page} by hand"
            raise InputError([Fault(file.name, message, remedy)])
        part.replace(folder / file.name)

    def _continue(
        self,
        session: requests.Session,
        file: RemoteFile,
        address: str,
        part: Path,
        reporter: Reporter,
    ) -> None:
        """Append what is still missing, or start over where the server sends from the start.

        Raises:
            _PassingError: The connection broke, or the server asked to come back later.
        """
        done = _bytes_of(part)
        # Compression would make the bytes on the wire differ from those of the file.
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        with self._open(session, address, headers) as answer:
            if answer.status_code == _BAD_RANGE:
                part.unlink(missing_ok=True)
                raise _PassingError("the server has fewer bytes than arrived before")
            is_continued = answer.status_code == _PARTIAL
            if is_continued and not _starts_at(answer, done):
                part.unlink(missing_ok=True)
                raise _PassingError("the server sent another range than asked for")
            if not is_continued:
                done = 0
            with part.open("ab" if is_continued else "wb") as stream:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    stream.write(chunk)
                    done += len(chunk)
                    reporter.progress(f"download {file.name}", done, file.bytes)
                    if done > file.bytes:
                        return
        if done < file.bytes:
            raise _PassingError("the connection ended early")

    @contextmanager
    def _open(
        self, session: requests.Session, address: str, headers: Mapping[str, str]
    ) -> Iterator[requests.Response]:
        """Request an address, following redirects to admitted places only.

        Raises:
            InputError: The server refuses, or sends us where we do not go.
            _PassingError: The request failed in a way that may pass.
        """
        try:
            for _ in range(MOST_REDIRECTS + 1):
                self._check_address(address)
                with session.get(
                    address,
                    headers=headers,
                    stream=True,
                    timeout=TIMEOUTS_SECONDS,
                    allow_redirects=False,
                ) as answer:
                    if answer.is_redirect:
                        address = urljoin(address, answer.headers["location"])
                        continue
                    self._check_status(address, answer)
                    yield answer
                    return
        except BREAKS as error:
            raise _PassingError(f"the connection failed ({type(error).__name__})") from error
        except requests.JSONDecodeError:
            raise
        except requests.RequestException as error:
            raise self._fault(address, f"the request failed ({error})") from error
        raise self._fault(address, f"more than {MOST_REDIRECTS} redirects")

    def _check_address(self, address: str) -> None:
        parts, own = urlsplit(address), urlsplit(self.api)
        if parts.scheme != "https" and (parts.scheme, parts.hostname) != (own.scheme, own.hostname):
            raise self._fault(address, "the server sent us to an address without HTTPS")

    def _check_status(self, address: str, answer: requests.Response) -> None:
        if answer.status_code in PASSING_STATUSES:
            raise _PassingError(f"the server answered {answer.status_code}")
        if answer.status_code not in (_WHOLE, _PARTIAL, _BAD_RANGE):
            raise self._fault(address, f"the server answered {answer.status_code}")

    def _wait_or_give_up(self, what: str, failures: int, error: "_PassingError") -> None:
        if failures >= self.patience.attempts:
            message = f"{error}, {failures} times in a row"
            remedy = "Run the same command later: it continues where it stopped"
            raise InputError([Fault(what, message, remedy)]) from error
        self.patience.wait(failures)

    def _fault(self, what: str, message: str) -> InputError:
        remedy = f"Check the connection, or fetch the files from {self.page} by hand"
        return InputError([Fault(what, message, remedy)])


class _PassingError(Exception):
    """A request failed in a way that may pass."""


@dataclass(frozen=True)
class _Listed:
    """A file as the API lists it; size and checksum are None where it does not tell them."""

    address: str
    bytes: int | None
    sha256: str | None

    @classmethod
    def from_entry(cls, entry: Mapping[str, Mapping[str, object]]) -> "_Listed":
        attributes = entry["attributes"]
        extra = attributes.get("extra") or {}
        hashes = extra.get("hashes", {}) if isinstance(extra, Mapping) else {}
        size = attributes.get("size")
        return cls(
            address=str(entry["links"]["download"]),
            bytes=size if isinstance(size, int) else None,
            sha256=hashes.get("sha256"),
        )


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_complete(path: Path, file: RemoteFile) -> bool:
    return _bytes_of(path) == file.bytes and digest_file(path).sha256 == file.sha256


def _starts_at(answer: requests.Response, position: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {position}-")


def _check_space(wanted: Sequence[RemoteFile], folder: Path) -> None:
    needed = sum(file.bytes - _bytes_of(folder / f"{file.name}.part") for file in wanted)
    free = disk_usage(folder).free
    if free < needed:
        message = f"the download needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free"
        raise InputError([Fault(str(folder), message, "Free some space or choose another folder")])
