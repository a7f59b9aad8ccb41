"""Downloads against a local server that behaves, and misbehaves, like OSF."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from data.osf import OsfProject, Patience, RemoteFile
from data.reporter import SilentReporter
from data.validation import InputError

PROJECT = "c793h"
CONTENT = {
    name: np.random.default_rng(size).bytes(size)
    for name, size in {"a.p": 300_000, "b.p": 1, "c.p": 2_500_000}.items()
}
FILES = tuple(
    RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())
    for name, content in CONTENT.items()
)
SIZE = {file.name: file.bytes for file in FILES}


@dataclass
class Osf:
    """An API and a file store on two ports of one machine, with faults to order.

    Attributes:
        content: What the store sends.
        listed: What the API lists of each file; changed to make it lie.
        page_size: Files per page of the listing.
        statuses: Per path, HTTP answers that come before the real one.
        cuts: Per file, after how many bytes each answer's connection ends; then whole answers.
        knows_ranges: Whether the store honours `Range`.
        mistakes_ranges: How many requests of a range are answered with the whole as if it were.
        redirect: Where a download is sent, given the store's address.
        requests: Path and `Range` of every request, in order.
    """

    content: dict[str, bytes]
    listed: dict[str, dict[str, object]]
    page_size: int = 2
    statuses: dict[str, list[int]] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    knows_ranges: bool = True
    mistakes_ranges: int = 0
    redirect: Callable[[str], str] = str
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    api: str = ""
    store: str = ""

    def ranges(self, name: str) -> list[str | None]:
        """`Range` of each request for a file."""
        return [asked for path, asked in self.requests if path == f"/store/{name}"]


class Handler(BaseHTTPRequestHandler):
    osf: Osf

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = self.headers.get("Range")
        self.osf.requests.append((parts.path, asked))
        assert self.headers["Accept-Encoding"] == "identity" or "/download/" not in self.path
        name = parts.path.rpartition("/")[2]
        statuses = self.osf.statuses.get(parts.path)
        if statuses:
            self._answer(statuses.pop(0), b"not now", {})
        elif parts.path == f"/v2/nodes/{PROJECT}/files/osfstorage/":
            self._answer(200, self._page(int(parts.query.removeprefix("page=") or 1)), {})
        elif parts.path.startswith("/download/"):
            address = self.osf.redirect(f"{self.osf.store}/store/{name}")
            self._answer(302, b"", {"Location": address})
        elif parts.path.startswith("/store/") and name in self.osf.content:
            self._send(name, asked)
        else:
            self._answer(404, b"no such file", {})

    def _page(self, number: int) -> bytes:
        names = sorted(self.osf.listed)
        shown = names[(number - 1) * self.osf.page_size : number * self.osf.page_size]
        is_last = number * self.osf.page_size >= len(names)
        following = f"{self.osf.api}/nodes/{PROJECT}/files/osfstorage/?page={number + 1}"
        entries = [
            {
                "attributes": {"kind": "file", "name": name, **self.osf.listed[name]},
                "links": {"download": f"{self.osf.api.removesuffix('/v2')}/download/{name}"},
            }
            for name in shown
        ]
        entries.append({"attributes": {"kind": "folder", "name": "more"}, "links": {}})
        links = {"next": None if is_last else following}
        return json.dumps({"data": entries, "links": links}).encode()

    def _send(self, name: str, asked: str | None) -> None:
        content, start = self.osf.content[name], 0
        if asked and self.osf.knows_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        is_range = start > 0
        if is_range and self.osf.mistakes_ranges:
            self.osf.mistakes_ranges -= 1
            start = 0
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        if start >= len(content):
            self._answer(416, b"", {})
            return
        cuts = self.osf.cuts.get(name)
        stop = start + cuts.pop(0) if cuts else len(content)
        body = content[start:stop]
        length = len(content) - start
        self._answer(206 if is_range else 200, body, headers if is_range else {}, length)

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str], length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def osf() -> Iterator[Osf]:
    listed: dict[str, dict[str, object]] = {
        file.name: {"size": file.bytes, "extra": {"hashes": {"sha256": file.sha256}}}
        for file in FILES
    }
    server = Osf(dict(CONTENT), listed)
    handler = type("Bound", (Handler,), {"osf": server})
    https = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    server.api = f"http://127.0.0.1:{https[0].server_port}/v2"
    server.store = f"http://127.0.0.1:{https[1].server_port}"
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,)) for each in https]
    for thread in threads:
        thread.start()
    yield server
    for each, thread in zip(https, threads, strict=True):
        each.shutdown()
        thread.join()
        each.server_close()


def project(osf: Osf, attempts: int = 3) -> OsfProject:
    return OsfProject(PROJECT, osf.api, Patience(attempts, first_wait_seconds=0))


def faults(osf: Osf, folder: Path, attempts: int = 3) -> dict[str, str]:
    """Message of each file's fault of a download that must fail."""
    with pytest.raises(InputError) as caught:
        project(osf, attempts).download(FILES, folder, SilentReporter())
    return {fault.file: str(fault) for fault in caught.value.faults}


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Recorder(SilentReporter):
    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {}

    def progress(self, task: str, completed: float, total: float | None = None) -> None:
        assert total == SIZE[task.removeprefix("download ")]
        self.seen.setdefault(task, []).append(completed)


def test_all_pages_redirected_and_reported(osf: Osf, tmp_path: Path) -> None:
    reporter = Recorder()
    project(osf).download(FILES, tmp_path / "new" / "folder", reporter)
    assert in_folder(tmp_path / "new" / "folder") == CONTENT
    assert {task: steps[-1] for task, steps in reporter.seen.items()} == {
        f"download {name}": size for name, size in SIZE.items()
    }
    assert all(steps == sorted(steps) for steps in reporter.seen.values())
    assert len(reporter.seen["download c.p"]) > 2


def test_files_already_there_are_not_asked_for(osf: Osf, tmp_path: Path) -> None:
    (tmp_path / "a.p").write_bytes(CONTENT["a.p"])
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert osf.ranges("a.p") == []
    osf.requests.clear()
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert osf.requests == []


def test_damaged_file_is_replaced(osf: Osf, tmp_path: Path) -> None:
    (tmp_path / "a.p").write_bytes(CONTENT["a.p"][:-1] + b"?")
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT


def test_broken_connection_continues(osf: Osf, tmp_path: Path) -> None:
    osf.cuts["c.p"] = [1_200_000, 800_000]
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT
    first, *later = osf.ranges("c.p")
    starts = [int((asked or "").removeprefix("bytes=").removesuffix("-")) for asked in later]
    assert first is None
    assert len(starts) == 2
    assert 0 < starts[0] <= 1_200_000 < starts[1] <= 2_000_000


def test_patience_counts_fruitless_requests_only(osf: Osf, tmp_path: Path) -> None:
    osf.cuts["c.p"] = [200_000] * 12
    project(osf, attempts=2).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT


def test_next_process_continues(osf: Osf, tmp_path: Path) -> None:
    osf.cuts["c.p"] = [1_500_000]
    found = faults(osf, tmp_path, attempts=1)
    assert list(found) == ["c.p"]
    assert "continues where it stopped" in found["c.p"]
    kept = (tmp_path / "c.p.part").stat().st_size
    assert 0 < kept <= 1_500_000
    assert not (tmp_path / "c.p").exists()
    osf.requests.clear()
    project(osf, attempts=1).download(FILES, tmp_path, SilentReporter())
    assert osf.ranges("c.p") == [f"bytes={kept}-"]
    assert in_folder(tmp_path) == CONTENT


@pytest.mark.parametrize("left", [b"something else", CONTENT["a.p"] + b"longer"])
def test_server_without_ranges_sends_anew(osf: Osf, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "a.p.part").write_bytes(left)
    osf.knows_ranges = False
    osf.cuts["c.p"] = [100_000]
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT


def test_server_that_mistakes_the_range(osf: Osf, tmp_path: Path) -> None:
    osf.mistakes_ranges = 1
    osf.cuts["c.p"] = [1_000_000]
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT
    assert len(osf.ranges("c.p")) == 3


def test_endless_answer_is_not_read_to_its_end(osf: Osf, tmp_path: Path) -> None:
    osf.content["a.p"] *= 20
    reporter = Recorder()
    with pytest.raises(InputError, match="size or checksum"):
        project(osf).download(FILES, tmp_path, reporter)
    assert max(reporter.seen["download a.p"]) < 2 * SIZE["a.p"]


def test_server_without_ranges_that_always_breaks_ends(osf: Osf, tmp_path: Path) -> None:
    osf.knows_ranges = False
    osf.cuts["c.p"] = [100_000] * 50
    assert "in a row" in faults(osf, tmp_path)["c.p"]


def test_foreign_beginning_is_found_out_and_deleted(osf: Osf, tmp_path: Path) -> None:
    (tmp_path / "a.p.part").write_bytes(b"of another release")
    found = faults(osf, tmp_path)
    assert list(found) == ["a.p"]
    assert "deleted" in found["a.p"]
    assert in_folder(tmp_path) == {name: CONTENT[name] for name in ("b.p", "c.p")}
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT


def test_wrong_content_is_deleted_and_every_such_file_named(osf: Osf, tmp_path: Path) -> None:
    osf.content["a.p"] = CONTENT["a.p"][::-1]
    osf.content["c.p"] += b"and more"
    found = faults(osf, tmp_path)
    assert set(found) == {"a.p", "c.p"}
    assert all("size or checksum" in message for message in found.values())
    assert all("osf.io/c793h" in message for message in found.values())
    assert in_folder(tmp_path) == {"b.p": CONTENT["b.p"]}


def test_server_with_too_few_bytes(osf: Osf, tmp_path: Path) -> None:
    osf.content["a.p"] = CONTENT["a.p"][:1000]
    assert "in a row" in faults(osf, tmp_path)["a.p"]


def test_passing_answers_are_waited_out(osf: Osf, tmp_path: Path) -> None:
    osf.statuses = {
        f"/v2/nodes/{PROJECT}/files/osfstorage/": [503, 429],
        "/download/a.p": [500],
        "/store/b.p": [504, 502],
    }
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT


def test_lasting_trouble_ends(osf: Osf, tmp_path: Path) -> None:
    osf.statuses["/store/a.p"] = [503] * 10
    found = faults(osf, tmp_path)
    assert list(found) == ["a.p"]
    assert "answered 503, 3 times in a row" in found["a.p"]
    assert len(osf.ranges("a.p")) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_final(osf: Osf, tmp_path: Path, status: int) -> None:
    osf.statuses["/store/a.p"] = [status]
    (message,) = faults(osf, tmp_path).values()
    assert f"answered {status}" in message
    assert len(osf.ranges("a.p")) == 1
    assert set(in_folder(tmp_path)) == {"b.p", "c.p"}


def test_changed_release_is_seen_before_anything_is_fetched(osf: Osf, tmp_path: Path) -> None:
    del osf.listed["a.p"]
    osf.listed["b.p"]["size"] = 2
    osf.listed["c.p"]["extra"] = {"hashes": {"sha256": "0" * 64}}
    found = faults(osf, tmp_path)
    assert "does not list" in found["a.p"]
    assert "another size or checksum" in found["b.p"]
    assert "another size or checksum" in found["c.p"]
    assert in_folder(tmp_path) == {}


def test_listing_without_sizes_and_checksums(osf: Osf, tmp_path: Path) -> None:
    osf.listed = {name: {"size": None, "extra": None} for name in osf.listed}
    project(osf).download(FILES, tmp_path, SilentReporter())
    assert in_folder(tmp_path) == CONTENT


def test_project_that_does_not_exist(osf: Osf, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="answered 404"):
        OsfProject("other", osf.api).download(FILES, tmp_path, SilentReporter())


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"data": 3, "links": {}}', b"{}"])
def test_listing_that_is_none(
    osf: Osf, tmp_path: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "_page", lambda self, number: answer)
    (message,) = faults(osf, tmp_path).values()
    assert "JSON" in message or "not as expected" in message


def test_no_way_out_of_https(osf: Osf, tmp_path: Path) -> None:
    # The same server by another name: only the host of the API may be spoken to in clear.
    osf.redirect = lambda address: address.replace("127.0.0.1", "localhost")
    found = faults(osf, tmp_path)
    assert len(found) == len(FILES)
    assert all("without HTTPS" in message for message in found.values())
    assert not any(path.startswith("/store/") for path, _ in osf.requests)


def test_https_api_is_not_left_for_its_own_host_in_clear(tmp_path: Path) -> None:
    api = OsfProject(PROJECT, "https://127.0.0.1")
    with pytest.raises(InputError, match="without HTTPS"):
        api._check_address("http://127.0.0.1/v2")


def test_endless_redirects_end(osf: Osf, tmp_path: Path) -> None:
    osf.redirect = lambda address: address.replace("/store/", "/download/")
    assert all("redirects" in message for message in faults(osf, tmp_path).values())


def test_server_that_is_away(osf: Osf, tmp_path: Path) -> None:
    away = OsfProject(PROJECT, "http://127.0.0.1:9/v2", Patience(2, first_wait_seconds=0))
    with pytest.raises(InputError, match=r"connection failed .*, 2 times in a row"):
        away.download(FILES, tmp_path, SilentReporter())


def test_no_space(osf: Osf, tmp_path: Path) -> None:
    huge = RemoteFile("a.p", 10**18, FILES[0].sha256)
    with pytest.raises(InputError, match="MB are free"):
        project(osf).download([huge], tmp_path, SilentReporter())
    assert osf.requests == []


def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    patience = Patience(first_wait_seconds=1, longest_wait_seconds=5)
    for failures in range(1, 5):
        patience.wait(failures)
    assert waits == [1, 2, 4, 5]
