"""From the sound server to a subscriber: the whole of `tonewatch listen`, without any hardware."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec
import pytest

import realtime
from realtime import messages
from realtime.artifact import DEFAULT_MODEL
from realtime.messages import Error, Hello, Prediction, Status
from realtime.types import LABELS, State

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import StartTonewatch
    from tests.integration.conftest import VirtualMicrophone

pytestmark = [pytest.mark.microphone, pytest.mark.slow, pytest.mark.timeout(120)]

# As many as the windows of one turn of the loop: wherever the first begins, most are not its seam.
N_PREDICTIONS = 9


class Loop:
    """Plays a recording over and over, with nothing in between."""

    def __init__(self, microphone: VirtualMicrophone, path: Path) -> None:
        self._ended = threading.Event()
        self._player: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._play, args=(microphone, path))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._player is not None:
            self._player.terminate()
        self._thread.join()

    def _play(self, microphone: VirtualMicrophone, path: Path) -> None:
        while not self._ended.is_set():
            self._player = microphone.play(path)
            self._player.wait()


async def hear(url: str, process: subprocess.Popen[bytes], number: signal.Signals) -> list[messages.Message]:
    """Return what a subscriber gets, up to the end; a few predictions on, the process gets a signal."""
    told: list[messages.Message] = []
    async with asyncio.timeout(60), aclosing(realtime.subscribe(url)) as stream:
        async for message in stream:
            if isinstance(message, Error):
                break
            told.append(message)
            n_predictions = sum(isinstance(message, Prediction) for message in told)
            if isinstance(message, Prediction) and n_predictions == N_PREDICTIONS:
                process.send_signal(number)
    return told


@pytest.mark.parametrize(
    ("number", "model"),
    [(signal.SIGINT, DEFAULT_MODEL), (signal.SIGTERM, "tiny-float32")],
)
def test_from_the_microphone_to_a_subscriber_and_a_log(
    *,
    number: signal.Signals,
    model: str,
    virtual_microphone: VirtualMicrophone,
    ravdess: Path,
    start_tonewatch: StartTonewatch,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    log = tmp_path / "day.jsonl"
    with Loop(virtual_microphone, ravdess / "speech" / "Actor_01" / "03-01-05-02-01-01-01.flac"):
        process = start_tonewatch(
            "listen",
            "--serve",
            "127.0.0.1:0",
            "--quiet",
            "--log",
            log,
            *(() if model == DEFAULT_MODEL else ("--model", tiny_model)),
        )
        assert process.stderr is not None
        # ALSA may grumble before.
        lines = iter(process.stderr.readline, b"")
        url = next(
            match[1]
            for line in lines
            if (match := re.fullmatch(rb"tonewatch: serves (ws://\S+); open .*\n", line))
        )
        told = asyncio.run(hear(url.decode(), process, number))
        rest = process.stderr.read()
    assert process.wait(60) == 128 + number
    assert b"Traceback" not in rest
    assert b"tonewatch" not in rest

    hello, *events = told
    assert isinstance(hello, Hello)
    assert (hello.model, hello.streams) == (model, ("microphone",))
    predictions = [message for message in events if isinstance(message, Prediction)]
    assert len(predictions) >= N_PREDICTIONS
    assert {p.label for p in predictions} <= set(LABELS)
    if model == DEFAULT_MODEL:
        # An angry voice of the corpus it was trained on: what else should it say?
        assert Counter(p.label for p in predictions).most_common(1)[0][0] == "angry"
    assert all(p.level_dbfs > -60 for p in predictions)
    assert [p.seq for p in predictions] == list(range(len(predictions)))
    last = events[-1]
    assert isinstance(last, Status)
    assert (last.state, last.stream) == (State.STOPPED, "microphone")

    # The log holds the same messages, which nobody sent; the subscriber came a little later, and was told the
    # state then.
    logged = [messages.decode(line) for line in log.read_bytes().splitlines()]
    assert isinstance(logged[0], Hello)
    begin = events.index(predictions[0])
    heard = [msgspec.structs.replace(message, sent=None) for message in events[begin:]]
    assert logged[logged.index(heard[0]) :] == heard
