from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from realtime.errors import CorpusError, SettingsError
from training import fetch as module
from training.commands import fetch as command
from training.fetch import RAVDESS, Published, fetch, find_published

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
N_RECORDINGS = 4


class Served:
    """A folder behind an address, as the standard library serves it: without ranges."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.hold_after: int | None = None
        """Send so much of a file, and hold the rest back until the test lets it go."""
        self.held, self.go_on = threading.Event(), threading.Event()
        served = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self) -> None:
                served.asked.append(self.path)
                super().do_GET()

            def copyfile(self, source: Any, outputfile: Any) -> None:
                if served.hold_after is not None:
                    outputfile.write(source.read(served.hold_after))
                    served.held.set()
                    served.go_on.wait(60)
                    return
                super().copyfile(source, outputfile)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.go_on.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tasks: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, task: str, n_bytes: int, n_done: int) -> None:  # noqa: ARG002 - the protocol's
        self.tasks.append(task)

    def reach(self, n_done: int) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "served").mkdir()
    served = Served(tmp_path / "served")
    yield served
    served.close()


@pytest.fixture
def published(served: Served) -> Published:
    """A small corpus of two archives, as RAVDESS is built."""
    rng = random.Random(4)
    archives = []
    for like, channel in zip(RAVDESS.archives, ("01", "02"), strict=True):
        path = served.folder / like.file
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for actor in range(1, N_RECORDINGS + 1):
                name = f"Actor_{actor:02d}/03-{channel}-01-01-01-01-{actor:02d}.wav"
                file.writestr(name, rng.randbytes(40_000))
        raw = path.read_bytes()
        digest = hashlib.md5(raw).hexdigest()
        archives.append(replace(like, n_bytes=len(raw), md5=digest, n_recordings=N_RECORDINGS))
    return replace(RAVDESS, url=served.url, archives=tuple(archives))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ravdess"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


RECORDINGS = sorted(
    f"{part}/Actor_{actor:02d}/03-{channel}-01-01-01-01-{actor:02d}.wav"
    for part, channel in (("speech", "01"), ("song", "02"))
    for actor in range(1, N_RECORDINGS + 1)
)
CONTENTS = ["Audio_Song_Actors_01-24.json", "Audio_Speech_Actors_01-24.json"]
ARCHIVES = ["Audio_Song_Actors_01-24.zip", "Audio_Speech_Actors_01-24.zip"]


def test_ravdess_is_as_its_publisher_announces_it() -> None:
    speech, song = RAVDESS.archives
    assert (speech.n_bytes, speech.md5) == (208_468_073, "bc696df654c87fed845eb13823edef8a")
    assert (song.n_bytes, song.md5) == (225_505_317, "5411230427d67a21e18aa4d466e6d1b9")
    assert speech.n_recordings + song.n_recordings == 2452
    assert RAVDESS.url == "https://zenodo.org/records/1188976/files"
    assert "CC BY-NC-SA 4.0" in RAVDESS.licence


def test_a_corpus_is_fetched_and_unpacked(served: Served, published: Published, folder: Path) -> None:
    seen = Seen()
    assert fetch(published, folder, seen) == 2 * N_RECORDINGS
    assert names(folder) == sorted(RECORDINGS + CONTENTS)
    assert served.asked == [f"/{archive.file}?download=1" for archive in published.archives]
    for archive in published.archives:
        with zipfile.ZipFile(served.folder / archive.file) as file:
            for name in file.namelist():
                assert (folder / archive.part / name).read_bytes() == file.read(name)
    assert seen.tasks == ["loading speech", "unpacking speech", "loading song", "unpacking song"]


def test_another_address_may_be_given(served: Served, published: Published, folder: Path) -> None:
    elsewhere = replace(published, url="http://127.0.0.1:1")
    fetch(elsewhere, folder, Seen(), url=served.url)
    assert names(folder) == sorted(RECORDINGS + CONTENTS)


def test_nothing_is_fetched_twice(served: Served, published: Published, folder: Path) -> None:
    fetch(published, folder, Seen())
    served.asked.clear()
    seen = Seen()
    assert fetch(published, folder, seen) == 0
    assert served.asked == []
    assert seen.lines == [f"{part}: 4 recordings are there, and sound" for part in ("speech", "song")]


def test_what_is_damaged_or_gone_is_put_right_alone(
    served: Served, published: Published, folder: Path
) -> None:
    fetch(published, folder, Seen())
    served.asked.clear()
    (folder / RECORDINGS[0]).unlink()
    damaged = folder / RECORDINGS[1]
    damaged.write_bytes(bytes(40_000))
    sound = (folder / RECORDINGS[2]).stat()
    assert fetch(published, folder, Seen()) == 2
    assert served.asked == ["/Audio_Song_Actors_01-24.zip?download=1"]
    assert damaged.read_bytes() != bytes(40_000)
    assert (folder / RECORDINGS[2]).stat() == sound
    assert names(folder) == sorted(RECORDINGS + CONTENTS)


def test_archives_may_be_kept_and_are_used_again(served: Served, published: Published, folder: Path) -> None:
    fetch(published, folder, Seen(), keep_archives=True)
    assert names(folder) == sorted(RECORDINGS + CONTENTS + ARCHIVES)
    (folder / RECORDINGS[0]).unlink()
    served.asked.clear()
    assert fetch(published, folder, Seen(), keep_archives=True) == 1
    assert served.asked == []
    assert names(folder) == sorted(RECORDINGS + CONTENTS + ARCHIVES)


def test_an_archive_that_is_there_but_damaged_is_put_away(
    served: Served, published: Published, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / ARCHIVES[0]).write_bytes(b"half of it")
    seen = Seen()
    fetch(published, folder, seen)
    assert len(served.asked) == 2
    assert names(folder) == sorted([*RECORDINGS, *CONTENTS, f"{ARCHIVES[0]}.damaged"])
    assert any("put away as" in line for line in seen.lines)


def test_a_wrong_checksum_unpacks_nothing(served: Served, published: Published, folder: Path) -> None:
    raw = (served.folder / ARCHIVES[1]).read_bytes()
    (served.folder / ARCHIVES[1]).write_bytes(raw[:-1] + b"?")
    with pytest.raises(CorpusError, match=r"has not the MD5 .* put away as"):
        fetch(published, folder, Seen())
    assert names(folder) == [f"{ARCHIVES[1]}.damaged"]


def test_an_archive_that_would_do_harm_is_not_unpacked(
    served: Served, published: Published, folder: Path
) -> None:
    path = served.folder / ARCHIVES[1]
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../../evil.wav", b"evil")
    raw = path.read_bytes()
    speech = replace(published.archives[0], n_bytes=len(raw), md5=hashlib.md5(raw).hexdigest())
    with pytest.raises(CorpusError, match="wanted a path below the folder"):
        fetch(replace(published, archives=(speech,)), folder, Seen())
    assert names(folder.parent) == [f"ravdess/{ARCHIVES[1]}"]


def test_an_interrupt_while_unpacking_goes_on_later(
    served: Served, published: Published, folder: Path
) -> None:
    class Interrupted(Seen):
        def reach(self, n_done: int) -> None:
            if self.tasks[-1].startswith("unpacking") and n_done > 50_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(published, folder, Interrupted())
    assert len(names(folder / "speech")) == 1
    served.asked.clear()
    # The one that was unpacked is known to be ours, and the archive is still there.
    assert fetch(published, folder, Seen()) == 2 * N_RECORDINGS - 1
    assert served.asked == [f"/{ARCHIVES[0]}?download=1"]
    assert names(folder) == sorted(RECORDINGS + CONTENTS)


def write_elsewhere(folder: Path, channel: str, n: int) -> None:
    folder.mkdir(parents=True)
    for actor in range(1, n + 1):
        (folder / f"03-{channel}-01-01-01-01-{actor:02d}.flac").touch()


def test_recordings_from_elsewhere_are_left_as_they_are(
    served: Served, published: Published, folder: Path
) -> None:
    write_elsewhere(folder / "any", "01", N_RECORDINGS)
    seen = Seen()
    assert fetch(published, folder, seen) == N_RECORDINGS
    assert served.asked == [f"/{ARCHIVES[0]}?download=1"]
    assert seen.lines == ["speech: 4 recordings are there, from elsewhere"]


def test_some_recordings_from_elsewhere_are_refused_before_anything_is_loaded(
    served: Served, published: Published, folder: Path
) -> None:
    # The second archive's: the first would be loaded before.
    write_elsewhere(folder / "any", "02", 3)
    with pytest.raises(
        CorpusError, match="holds 3 of 4 song recordings from elsewhere; wanted all of them or none"
    ):
        fetch(published, folder, Seen())
    assert served.asked == []


@pytest.mark.parametrize("keep_archives", [False, True])
def test_room_is_asked_for_before_anything_is_loaded(
    served: Served,
    published: Published,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keep_archives: bool,
) -> None:
    sizes = [archive.n_bytes for archive in published.archives]
    # Unpacked, all of them; packed, one at a time, or all where they are kept.
    needed = round(2.5 * sum(sizes)) + (sum(sizes) if keep_archives else max(sizes))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(CorpusError, match=r"are free on its disk; wanted .* MB: make room"):
        fetch(published, folder, Seen(), keep_archives=keep_archives)
    assert served.asked == []
    assert not folder.exists()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=needed))
    fetch(published, folder, Seen(), keep_archives=keep_archives)


def test_a_folder_that_cannot_be_made_is_one_line(published: Published, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        CorpusError, match=r"Not a directory; wanted a place to write to: give another with --to"
    ):
        fetch(published, tmp_path / "file" / "ravdess", Seen())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ravdes", "did you mean 'ravdess'? "), ("RAVDESS", "did you mean 'ravdess'? "), ("x", "")],
)
def test_an_unknown_name_gives_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        find_published(name)
    assert str(caught.value) == f"there is no corpus {name!r} to fetch; {hint}there are: ravdess"


def run(*arguments: str | Path) -> None:
    """Run the command as `tonewatch-train` does."""
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    parsed = parser.parse_args(["fetch", *map(str, arguments)])
    parsed.run(parsed)


@pytest.fixture
def known(published: Published, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The small corpus, as the only one that the command knows."""
    monkeypatch.setattr(module, "PUBLISHED", (published,))
    monkeypatch.setattr(command, "PUBLISHED", (published,))
    return published


def test_without_a_name_the_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    out, err = capsys.readouterr()
    assert out.startswith("ravdess  RAVDESS: 24 actors")
    assert "(434.0 MB)" in out
    assert err == ""


@pytest.mark.usefixtures("known")
def test_the_command_in_a_log_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TONEWATCH_DATA", str(tmp_path / "data"))
    run("ravdess")
    out, err = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in " ".join(out.split())
    assert out.splitlines()[-1] == f"{tmp_path / 'data' / 'ravdess'}: 8 recordings unpacked"
    rate = r"\d+\.\d MB/s"
    wanted = "".join(
        rf"{task}: 0.2 MB\n{task}: 100% of 0.2 MB, {rate}, 0 s left\n"
        for task in ("loading speech", "unpacking speech", "loading song", "unpacking song")
    )
    assert re.fullmatch(wanted, err), err

    run("ravdess")
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"{tmp_path / 'data' / 'ravdess'}: nothing to do"
    assert err.splitlines() == [f"{part}: 4 recordings are there, and sound" for part in ("speech", "song")]


@pytest.mark.usefixtures("known")
def test_the_command_puts_it_where_it_is_told(tmp_path: Path) -> None:
    run("ravdess", "--to", tmp_path / "here", "--keep-archives")
    assert names(tmp_path / "here") == sorted(RECORDINGS + CONTENTS + ARCHIVES)


SCRIPT = """
import argparse, signal, sys
from dataclasses import replace
from training import fetch as module
from training.commands import fetch as command
from training.fetch import Archive, Published
signal.signal(signal.SIGINT, signal.default_int_handler)
module.PUBLISHED = command.PUBLISHED = ({published!r},)
parser = argparse.ArgumentParser()
command.add(parser.add_subparsers())
arguments = parser.parse_args(["fetch", "ravdess", "--to", {folder!r}])
try:
    arguments.run(arguments)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(
    served: Served, published: Published, folder: Path
) -> None:
    served.hold_after = 50_000
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(published=published, folder=str(folder))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    part = folder / f"{ARCHIVES[1]}.part"
    try:
        assert served.held.wait(60)
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == 50_000):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert part.read_bytes() == (served.folder / ARCHIVES[1]).read_bytes()[:50_000]
    served.hold_after = None
    served.go_on.set()
    seen = Seen()
    assert fetch(published, folder, seen) == 2 * N_RECORDINGS
    assert names(folder) == sorted(RECORDINGS + CONTENTS)


@pytest.mark.skipif(os.name == "nt", reason="terminals are POSIX's")
def test_a_terminal_shows_a_bar_with_bytes_rate_and_time_left(
    served: Served, published: Published, folder: Path, terminal: Any
) -> None:
    served.hold_after = 50_000
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(published=published, folder=str(folder))],
        cwd=ROOT,
        stdout=terminal.end,
        stderr=terminal.end,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    try:
        total = f"{published.archives[0].n_bytes / 1000:.1f}"
        terminal.wait_for(f"50.0/{total} kB")
        served.hold_after = None
        served.go_on.set()
        terminal.wait_for("8 recordings unpacked")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.text)
    assert re.search(rf"loading speech +[━╸╺]+ {total}/{total} kB +\d+\.\d .B/s +\d+:\d\d", shown), shown
    assert "unpacking song" in shown
    assert terminal.is_restored()


def test_the_command_is_cheap_to_import() -> None:
    script = (
        "import sys; import training.commands.fetch\n"
        "heavy = {'rich', 'tensorflow', 'sklearn', 'librosa', 'pooch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
