"""Load one large file over HTTP: what was loaded is kept, and the next attempt goes on from there.

References
----------
RFC 9110, "HTTP Semantics", sections 8.8.3 (ETag), 10.2.3 (Retry-After), 13.1.5 (If-Range), 14 (range
requests) and 15.5.17 (416 Range Not Satisfiable).
"""

# Why the standard library and not pooch, which is there with librosa: pooch loads into a temporary file,
# which it deletes as soon as anything goes wrong, so 200 MB over a weak line never arrive. A downloader of
# one's own, which it lets one give, is handed that temporary file, and would have to keep its own partial
# file beside it, with all that stands below; what pooch added then is one checksum. requests does not go on
# either. urllib knows proxies, redirects and certificates, and that is all that is needed.

from __future__ import annotations

import hashlib
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from io import FileIO
from re import fullmatch
from typing import TYPE_CHECKING, Protocol
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from realtime.errors import CorpusError
from training.disk import write_all, writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from http.client import HTTPResponse
    from pathlib import Path

N_ATTEMPTS = 6
"""So many in a row may fail, without one byte more than before, until it is given up."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 120.0
_BLOCK = 1 << 16
_PART = ".part"
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Answers after which it is worth while to ask again."""


class Watcher(Protocol):
    """Told how loading or unpacking goes on."""

    def say(self, line: str) -> None:
        """Take a line that the user should read."""

    def begin(self, task: str, n_bytes: int, n_done: int) -> None:
        """Note that a task of so many bytes is begun, of which some were done before."""

    def reach(self, n_done: int) -> None:
        """Note how many bytes of the task are done; fewer than before where it had to start anew."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file as its publisher announces it.

    Parameters
    ----------
    url
        Where it is, by http or https.
    n_bytes
        Its length.
    md5
        Its MD5 digest, in hexadecimal. Publishers give MD5: it tells damage, not malice.
    """

    url: str
    n_bytes: int
    md5: str


def download(
    remote: Remote,
    path: Path,
    watcher: Watcher,
    *,
    task: str,
    timeout_s: float = 30.0,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Load a file; it appears under its name when it is whole and its checksum is right.

    Until then it is NAME.part, beside which NAME.part.etag holds the version that it is a part of. Both stay
    when it ends early, for whatever reason, and the next call goes on from there.

    Parameters
    ----------
    remote
        What to load.
    path
        Where to put it; its folder exists.
    watcher
        Told how it goes on.
    task
        What the watcher is told that this is.
    timeout_s
        So long may the server be silent.
    wait
        Waits between attempts, for seconds.

    Raises
    ------
    CorpusError
        Where the server refuses it, has another file than the one announced, or breaks off again and again;
        where there is no room for it; and where its checksum is wrong, in which case it is put away as
        NAME.damaged.
    """
    if not remote.url.startswith(("https://", "http://")):
        raise CorpusError(
            f"{remote.url} cannot be loaded; wanted an address that begins with https:// or http://"
        )
    part = _Part(path)
    if part.n_bytes > remote.n_bytes:
        part.restart(etag=None)
    watcher.begin(task, remote.n_bytes, part.n_bytes)
    furthest, n_failed = part.n_bytes, 0
    while part.n_bytes < remote.n_bytes:
        try:
            _attempt(remote, part, watcher, timeout_s)
        except _PassingError as error:
            # A server that breaks off but goes on later gets there. One that always starts anew does not:
            # so only what goes beyond all attempts before counts as progress.
            n_failed = 1 if part.n_bytes > furthest else n_failed + 1
            furthest = max(furthest, part.n_bytes)
            if n_failed == N_ATTEMPTS:
                raise CorpusError(
                    f"{remote.url}: {error}, {N_ATTEMPTS} times in a row; {part.n_bytes:,} of "
                    f"{remote.n_bytes:,} bytes are kept: the same command goes on from there"
                ) from None
            wait_s = max(_FIRST_WAIT_S * 2 ** (n_failed - 1), error.wait_s)
            watcher.say(f"{task}: {error}; trying again in {wait_s:.0f} s ({n_failed + 1} of {N_ATTEMPTS})")
            wait(wait_s)
    part.finish(remote)


def has_md5(path: Path, md5: str) -> bool:
    """Return whether a file's content has this MD5 digest, in hexadecimal."""
    with writing(path), path.open("rb") as file:
        # Not for security, which machines in FIPS mode ask for.
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest() == md5.lower()


def put_away(path: Path) -> Path:
    """Rename a damaged file, so that nothing takes it for a sound one; return its new path."""
    damaged = path.with_name(f"{path.name.removesuffix(_PART)}.damaged")
    with writing(damaged):
        path.replace(damaged)
    return damaged


class _PassingError(Exception):
    """An attempt failed in a way that may pass; `wait_s` is for how long the server asks to be left alone."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Part:
    """What is there of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f"{path.name}{_PART}")
        self._etag = path.with_name(f"{path.name}{_PART}.etag")

    @property
    def n_bytes(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def etag(self) -> str | None:
        """Of which version it is a part, where that is known."""
        try:
            # As the header came: Latin-1.
            return self._etag.read_text(encoding="latin-1") or None
        except FileNotFoundError:
            return None

    def restart(self, etag: str | None) -> None:
        """Drop what is there; what comes next is of this version."""
        with writing(self._part):
            self._part.unlink(missing_ok=True)
            self._etag.write_text(etag or "", encoding="latin-1")

    def open(self) -> FileIO:
        """Open it to append; without a buffer, so that every byte read from the server is kept."""
        with writing(self._part):
            return FileIO(self._part, "ab")

    def append(self, file: FileIO, block: bytes) -> None:
        with writing(self._part):
            write_all(file, block)

    def finish(self, remote: Remote) -> None:
        """Give it its name if its checksum is right, and put it away otherwise."""
        with writing(self._etag):
            self._etag.unlink(missing_ok=True)
        if not has_md5(self._part, remote.md5):
            raise CorpusError(
                f"{remote.url}: what was loaded has not the MD5 that its publisher gives, {remote.md5}; put "
                f"away as {put_away(self._part)}: the same command loads it anew"
            )
        with writing(self.path):
            self._part.replace(self.path)


def _attempt(remote: Remote, part: _Part, watcher: Watcher, timeout_s: float) -> None:
    """Ask for what is missing, and append what comes."""
    n_had, etag = part.n_bytes, part.etag
    # As it is: a length and a range of what a proxy compressed would be of no use.
    request = Request(remote.url, headers={"User-Agent": "tonewatch-train", "Accept-Encoding": "identity"})  # noqa: S310 - http(s): see `download`
    if n_had:
        request.add_header("Range", f"bytes={n_had}-")
        if etag is not None and not etag.startswith("W/"):
            # The whole file, please, if it is another one by now. Weak tags may not be used for this.
            request.add_header("If-Range", etag)
    try:
        with urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - http(s): see `download`
            if _continues(response, remote, part, n_had, etag):
                _receive(response, remote, part, watcher)
    except HTTPError as error:
        with closing(error):
            _judge(error, remote, part, n_had)
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise CorpusError(
                f"{remote.url}: its certificate cannot be verified ({reason.verify_message}); wanted one "
                "that this machine trusts: look at its clock, its proxy and its certificates"
            ) from None
        raise _PassingError(f"the connection failed ({str(reason) or type(reason).__name__})") from None


def _continues(response: HTTPResponse, remote: Remote, part: _Part, n_had: int, etag: str | None) -> bool:
    """Return whether the body is what follows on the part, after starting it anew if need be."""
    new_etag = response.headers.get("ETag")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        found = fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != n_had or (etag and new_etag and etag != new_etag):
            # Not what was asked for, or of another version: the next attempt asks for the whole.
            part.restart(etag=None)
            if n_had == 0:
                raise CorpusError(f"{remote.url}: the server sends a part of it; wanted the whole")
            return False
        _require_length(remote, int(found[2]))
        return True
    # The whole file: the server does not know ranges, or has another version of it.
    announced = response.headers.get("Content-Length")
    if announced is not None and announced.isdecimal():
        # Before what is there is dropped: a hotel's login page is an answer too.
        _require_length(remote, int(announced))
    part.restart(etag=new_etag)
    return True


def _require_length(remote: Remote, n_bytes: int) -> None:
    if n_bytes != remote.n_bytes:
        raise CorpusError(
            f"{remote.url}: the server announces {n_bytes:,} bytes; wanted {remote.n_bytes:,}: is there a "
            "login page or a proxy in between?"
        )


def _receive(response: HTTPResponse, remote: Remote, part: _Part, watcher: Watcher) -> None:
    n_bytes = part.n_bytes
    watcher.reach(n_bytes)
    with part.open() as file:
        # What there is, not a full block: a stalled line loses nothing.
        while block := response.read1(_BLOCK):
            n_bytes += len(block)
            if n_bytes > remote.n_bytes:
                file.truncate(0)
                _require_length(remote, n_bytes)
            part.append(file, block)
            watcher.reach(n_bytes)
    if n_bytes < remote.n_bytes:
        raise _PassingError("the connection broke off")


def _judge(error: HTTPError, remote: Remote, part: _Part, n_had: int) -> None:
    """Start anew, or raise what an answer that is no file means."""
    answer = f"the server answers {error.code} {error.reason}"
    if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and n_had:
        # A whole part is never asked for more, so the server's file is another one.
        part.restart(etag=None)
        return
    if error.code in _PASSING:
        raise _PassingError(answer, _retry_after_s(error.headers))
    raise CorpusError(
        f"{remote.url}: {answer}; wanted the file: try again later, or load it with a browser and put it at "
        f"{part.path}"
    )


def _retry_after_s(headers: Message) -> float:
    """Return for how long a server asks to be left alone: seconds, or a date."""
    value = headers.get("Retry-After", "").strip()
    try:
        wait_s = float(value) if value.isdecimal() else _seconds_until(value)
    except ValueError:
        return 0.0
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)


def _seconds_until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    # "-0000" gives a moment without a zone; HTTP's dates are all UTC.
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(tz=UTC)).total_seconds()
