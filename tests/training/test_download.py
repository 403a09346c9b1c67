from __future__ import annotations

import errno
import hashlib
import random
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.errors import CorpusError
from training import download as module
from training.download import N_ATTEMPTS, Remote, download

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)


@dataclass(frozen=True)
class Reply:
    """How the server misbehaves, once."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None
    reset: bool = False
    knows_ranges: bool = True
    knows_if_range: bool = True
    announces_length: bool = True
    range_off_by: int = 0


class Server:
    """Serves one file on a free port: as the replies say, one for each request, and well after the last."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.etag: str | None = '"md5:1"'
        self.replies: list[Reply] = []
        self.ranges: list[str | None] = []
        self.if_ranges: list[str | None] = []
        self.n_sent = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/archive.zip?download=1"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        reply = self.replies.pop(0) if self.replies else Reply()
        wanted, if_range = request.headers["Range"], request.headers["If-Range"]
        self.ranges.append(wanted)
        self.if_ranges.append(if_range)
        if reply.status is not None:
            request.send_response(reply.status)
            for name, value in reply.headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", "3")
            request.end_headers()
            request.wfile.write(b"no\n")
            return
        start = 0
        fits = if_range in {None, self.etag} or not reply.knows_if_range
        if wanted and reply.knows_ranges and fits:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        n = len(self.content)
        if start >= n:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{n}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            first = start + reply.range_off_by
            request.send_header("Content-Range", f"bytes {first}-{n - 1}/{n}")
        if self.etag:
            request.send_header("ETag", self.etag)
        if reply.announces_length:
            request.send_header("Content-Length", str(n - start))
        for name, value in reply.headers.items():
            request.send_header(name, value)
        request.end_headers()
        body = self.content[start:][: reply.break_after]
        # First: as soon as the other side has all of it, the test looks.
        self.n_sent += len(body)
        request.wfile.write(body)
        if reply.reset:
            # Nothing is waited for: the other side gets a reset, not an end.
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.connection.close()


@dataclass
class Seen:
    """A watcher that remembers, and a clock that nobody waits for."""

    lines: list[str] = field(default_factory=list)
    begun: list[tuple[str, int, int]] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, task: str, n_bytes: int, n_done: int) -> None:
        self.begun.append((task, n_bytes, n_done))

    def reach(self, n_done: int) -> None:
        self.reached.append(n_done)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.zip"


@pytest.fixture
def load(server: Server, path: Path, seen: Seen) -> Callable[[], None]:
    """Load what the server has at the time, as its publisher would announce it."""

    def load(content: bytes | None = None) -> None:
        announced = server.content if content is None else content
        remote = Remote(server.url, len(announced), hashlib.md5(announced).hexdigest())
        download(remote, path, seen, task="loading", wait=seen.waits.append)

    return load


def write_part(path: Path, content: bytes, etag: str = "") -> None:
    path.with_name("archive.zip.part").write_bytes(content)
    path.with_name("archive.zip.part.etag").write_text(etag)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def part(path: Path) -> bytes:
    return path.with_name("archive.zip.part").read_bytes()


def test_a_file_is_loaded_and_only_it_is_left(
    load: Callable[[], None], server: Server, path: Path, seen: Seen
) -> None:
    load()
    assert path.read_bytes() == CONTENT
    assert names(path) == ["archive.zip"]
    assert server.ranges == [None]
    assert seen.begun == [("loading", len(CONTENT), 0)]
    assert seen.reached[0] == 0
    assert seen.reached[-1] == len(CONTENT)
    assert seen.reached == sorted(seen.reached)
    assert seen.waits == []


@pytest.mark.parametrize("reset", [False, True])
def test_after_a_break_it_goes_on(
    load: Callable[[], None], server: Server, path: Path, seen: Seen, *, reset: bool
) -> None:
    server.replies = [Reply(break_after=100_000, reset=reset)]
    load()
    assert path.read_bytes() == CONTENT
    assert seen.waits == [1.0]
    assert "trying again in 1 s (2 of 6)" in seen.lines[0]
    if reset:
        # How much came through is the network's affair.
        return
    assert server.ranges == [None, "bytes=100000-"]
    assert server.if_ranges == [None, '"md5:1"']
    assert server.n_sent == len(CONTENT)


def test_a_server_that_breaks_off_again_and_again_gets_there_if_it_goes_on(
    load: Callable[[], None], server: Server, path: Path, seen: Seen
) -> None:
    server.replies = [Reply(break_after=20_000)] * 14
    load()
    assert path.read_bytes() == CONTENT
    assert seen.waits == [1.0] * 14
    assert server.n_sent == len(CONTENT)


def test_a_server_that_does_not_go_on_is_given_up_and_what_came_is_kept(
    load: Callable[[], None], server: Server, path: Path, seen: Seen
) -> None:
    server.replies = [Reply(break_after=1000), *[Reply(break_after=0)] * N_ATTEMPTS]
    with pytest.raises(
        CorpusError, match=r"broke off, 6 times in a row; 1,000 of 300,000 bytes are kept: the"
    ):
        load()
    assert seen.waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert part(path) == CONTENT[:1000]
    server.replies = []
    load()
    assert path.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=1000-"
    assert seen.begun[-1] == ("loading", len(CONTENT), 1000)


def test_a_server_that_always_starts_anew_is_given_up(
    load: Callable[[], None], server: Server, path: Path, seen: Seen
) -> None:
    server.replies = [Reply(break_after=1000, knows_ranges=False)] * 20
    with pytest.raises(CorpusError, match="the same command goes on from there"):
        load()
    assert len(server.ranges) == N_ATTEMPTS
    assert part(path) == CONTENT[:1000]
    assert len(seen.waits) == N_ATTEMPTS - 1


def test_a_server_without_ranges_starts_anew(
    load: Callable[[], None], server: Server, path: Path, seen: Seen
) -> None:
    write_part(path, CONTENT[:1000], server.etag or "")
    server.replies = [Reply(knows_ranges=False)]
    load()
    assert server.ranges == ["bytes=1000-"]
    assert path.read_bytes() == CONTENT
    assert seen.begun == [("loading", len(CONTENT), 1000)]
    assert seen.reached[0] == 0


def test_a_file_that_changed_is_loaded_anew(load: Callable[[], None], server: Server, path: Path) -> None:
    write_part(path, OTHER[:1000], '"md5:0"')
    load()
    assert server.if_ranges == ['"md5:0"']
    assert path.read_bytes() == CONTENT


def test_a_file_that_changes_meanwhile_is_loaded_anew(server: Server, path: Path, seen: Seen) -> None:
    server.replies = [Reply(break_after=100_000)]

    remote = Remote(server.url, len(OTHER), hashlib.md5(OTHER).hexdigest())

    def change(_: float) -> None:
        server.content, server.etag = OTHER, '"md5:2"'

    download(remote, path, seen, task="loading", wait=change)
    assert server.if_ranges == [None, '"md5:1"']
    assert path.read_bytes() == OTHER


def test_a_server_that_goes_on_with_another_version_is_asked_for_the_whole(
    load: Callable[[], None], server: Server, path: Path
) -> None:
    write_part(path, OTHER[:1000], '"md5:0"')
    server.replies = [Reply(knows_if_range=False)]
    load()
    assert server.ranges == ["bytes=1000-", None]
    assert path.read_bytes() == CONTENT


def test_a_range_that_was_not_asked_for_is_not_taken(
    load: Callable[[], None], server: Server, path: Path
) -> None:
    write_part(path, CONTENT[:1000], server.etag or "")
    server.replies = [Reply(range_off_by=-1)]
    load()
    assert server.ranges == ["bytes=1000-", None]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_a_strong_tag_it_goes_on_unconditionally(
    load: Callable[[], None], server: Server, path: Path, etag: str | None
) -> None:
    server.etag = etag
    server.replies = [Reply(break_after=100_000)]
    load()
    assert server.ranges == [None, "bytes=100000-"]
    assert server.if_ranges == [None, None]
    assert path.read_bytes() == CONTENT


def test_another_length_is_refused_and_what_is_there_is_kept(
    load: Callable[[bytes], None], server: Server, path: Path
) -> None:
    write_part(path, CONTENT[:1000])
    server.content = b"<html>Welcome to the hotel</html>"
    server.replies = [Reply(knows_ranges=False)]
    with pytest.raises(
        CorpusError, match="the server announces 33 bytes; wanted 300,000: is there a login page"
    ):
        load(CONTENT)
    assert len(server.ranges) == 1
    assert part(path) == CONTENT[:1000]


def test_a_range_of_a_file_of_another_length_is_refused(
    load: Callable[[bytes], None], server: Server, path: Path
) -> None:
    write_part(path, CONTENT[:1000])
    server.content = CONTENT[:-1]
    with pytest.raises(CorpusError, match="the server announces 299,999 bytes; wanted 300,000"):
        load(CONTENT)
    assert part(path) == CONTENT[:1000]


def test_a_body_that_does_not_end_is_refused(
    load: Callable[[bytes], None], server: Server, path: Path
) -> None:
    server.content = CONTENT + b"more"
    server.replies = [Reply(announces_length=False)]
    with pytest.raises(CorpusError, match=r"wanted 300,000"):
        load(CONTENT)
    assert part(path) == b""


def test_a_body_without_a_length_is_loaded(load: Callable[[], None], server: Server, path: Path) -> None:
    server.replies = [Reply(announces_length=False)]
    load()
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_puts_the_file_away_and_the_same_call_loads_it_anew(
    load: Callable[[bytes], None], server: Server, path: Path
) -> None:
    server.content = OTHER
    with pytest.raises(
        CorpusError, match=rf"has not the MD5 .*put away as {path}\.damaged: the same command"
    ):
        load(CONTENT)
    assert names(path) == ["archive.zip.damaged"]
    server.content = CONTENT
    load(CONTENT)
    assert path.read_bytes() == CONTENT


def test_a_refusal_is_said_at_once_and_it_recovers(
    load: Callable[[], None], server: Server, path: Path, seen: Seen
) -> None:
    write_part(path, CONTENT[:1000], server.etag or "")
    server.replies = [Reply(status=404)]
    with pytest.raises(
        CorpusError, match="the server answers 404 Not Found; wanted the file: try again later"
    ):
        load()
    assert len(server.ranges) == 1
    assert seen.waits == []
    load()
    assert path.read_bytes() == CONTENT
    assert server.n_sent == len(CONTENT) - 1000


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_that_passes_is_waited_for(
    load: Callable[[], None], server: Server, path: Path, seen: Seen, status: int
) -> None:
    server.replies = [Reply(status=status)] * (N_ATTEMPTS - 1)
    load()
    assert path.read_bytes() == CONTENT
    assert seen.waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert f"the server answers {status}" in seen.lines[0]


@pytest.mark.parametrize(
    ("value", "least_s", "most_s"),
    [
        ("7", 7, 7),
        ("86400", 120, 120),
        ("-3", 1, 1),
        ("soon", 1, 1),
        ("", 1, 1),
        ("in 86400 s", 120, 120),
        ("in 100 s", 10, 100),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 1, 1),
    ],
)
def test_a_server_is_left_alone_for_as_long_as_it_asks(
    load: Callable[[], None], server: Server, seen: Seen, *, value: str, least_s: float, most_s: float
) -> None:
    if value.startswith("in "):
        # A date, reckoned now: tests are collected minutes before they run.
        later = datetime.now(tz=UTC) + timedelta(seconds=int(value.split()[1]))
        value = format_datetime(later, usegmt=True)
    server.replies = [Reply(status=503, headers={"Retry-After": value})]
    load()
    assert len(seen.waits) == 1
    assert least_s <= seen.waits[0] <= most_s


def test_a_whole_part_needs_no_server(load: Callable[[], None], server: Server, path: Path) -> None:
    # Asked for what follows, this server would answer 416.
    write_part(path, CONTENT)
    load()
    assert server.ranges == []
    assert names(path) == ["archive.zip"]
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_dropped(load: Callable[[], None], server: Server, path: Path) -> None:
    write_part(path, CONTENT + b"more")
    load()
    assert server.ranges == [None]
    assert path.read_bytes() == CONTENT


def test_a_range_that_cannot_be_had_starts_anew(load: Callable[[], None], server: Server, path: Path) -> None:
    write_part(path, CONTENT[:1000])
    server.replies = [Reply(status=416)]
    load()
    assert server.ranges == ["bytes=1000-", None]
    assert path.read_bytes() == CONTENT


def test_a_server_that_answers_416_whatever_it_is_asked_is_refused(
    load: Callable[[], None], server: Server, path: Path
) -> None:
    write_part(path, CONTENT[:1000])
    server.replies = [Reply(status=416)] * 9
    with pytest.raises(CorpusError, match="the server answers 416"):
        load()
    assert len(server.ranges) == 2


def test_nobody_at_the_address(path: Path, seen: Seen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    remote = Remote(f"http://127.0.0.1:{port}/a.zip", 10, "0")
    with pytest.raises(
        CorpusError, match=r"the connection failed \(.*refused\), 6 times in a row; 0 of 10 bytes"
    ):
        download(remote, path, seen, task="loading", wait=seen.waits.append)
    assert len(seen.waits) == N_ATTEMPTS - 1


def test_a_server_that_falls_silent(path: Path, seen: Seen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = Remote(f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip", 10, "0")
        with pytest.raises(CorpusError, match=r"the connection failed \(timed out\), 6 times in a row"):
            download(remote, path, seen, task="loading", timeout_s=0.01, wait=seen.waits.append)


def test_a_certificate_that_is_not_trusted_is_said_at_once(
    path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        raise URLError(error)

    monkeypatch.setattr(module, "urlopen", refuse)
    with pytest.raises(CorpusError, match=r"cannot be verified \(self-signed certificate\)"):
        download(
            Remote("https://example.org/a.zip", 10, "0"), path, seen, task="loading", wait=seen.waits.append
        )
    assert seen.waits == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a.zip", "a.zip"])
def test_only_http_is_spoken(url: str, path: Path, seen: Seen) -> None:
    with pytest.raises(CorpusError, match=r"wanted an address that begins with https://"):
        download(Remote(url, 10, "0"), path, seen, task="loading")
    assert names(path) == []


def test_a_full_disk_keeps_what_fits(
    load: Callable[[], None], server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FileIO):
        """A file on a disk with room for 100,000 bytes, which takes what fits of the last block."""

        def write(self, block: ReadableBuffer, /) -> int:
            left = 100_000 - self.tell()
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(memoryview(block)[:left])

    with monkeypatch.context() as patch:
        patch.setattr(module, "FileIO", Full)
        with pytest.raises(
            CorpusError, match=r"archive.zip.part: no room is left on the disk; what is there is"
        ):
            load()
    assert part(path) == CONTENT[:100_000]
    load()
    assert server.ranges == [None, "bytes=100000-"]
    assert path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path, seen: Seen) -> None:
    remote = Remote(server.url, len(CONTENT), "0")
    with pytest.raises(CorpusError, match=r"No such file or directory; wanted a place to write to"):
        download(remote, tmp_path / "missing" / "a.zip", seen, task="loading", wait=seen.waits.append)
    assert seen.waits == []


_REPLIES = st.builds(
    Reply,
    status=st.sampled_from([None, None, None, 416, 429, 503]),
    break_after=st.none() | st.integers(0, 5000),
    knows_ranges=st.booleans(),
    knows_if_range=st.booleans(),
    announces_length=st.booleans(),
    range_off_by=st.sampled_from([0, 0, -1, 1]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    replies=st.lists(_REPLIES, max_size=5),
    n_kept=st.integers(0, 5001),
    tag=st.sampled_from(['"1"', '"0"', ""]),
)
def test_whatever_the_server_does_the_file_is_whole_or_not_there(
    server: Server, tmp_path: Path, replies: list[Reply], n_kept: int, tag: str
) -> None:
    server.content, server.etag, server.replies = CONTENT[:5000], '"1"', list(replies)
    path = tmp_path / "archive.zip"
    path.unlink(missing_ok=True)
    kept = CONTENT if tag == '"1"' else OTHER
    write_part(path, kept[:n_kept], tag)
    remote = Remote(server.url, 5000, hashlib.md5(server.content).hexdigest())
    for _ in range(10):
        try:
            download(remote, path, Seen(), task="loading", wait=lambda _: None)
            break
        except CorpusError:
            assert not path.exists()
    assert path.read_bytes() == server.content
    assert not path.with_name("archive.zip.part").exists()
    assert not path.with_name("archive.zip.part.etag").exists()
