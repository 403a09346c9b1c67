from __future__ import annotations

import io
import sys
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import soundfile

import realtime
from realtime import live
from realtime.config import Settings
from realtime.errors import ArtifactError, DeviceError, SettingsError, SourceError
from realtime.sources import FileSource, MicrophoneSource, PcmSource
from realtime.types import Prediction, State, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.realtime.conftest import PlugIn


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the file sources that were closed."""
    names: list[str] = []
    leave = FileSource.__exit__

    def note(source: FileSource, *error: object) -> None:
        names.append(source.name)
        leave(source, *error)  # type: ignore[arg-type]

    monkeypatch.setattr(FileSource, "__exit__", note)
    return names


def test_events_of_a_file(recording: Path, tiny_model: Path, closed: list[str]) -> None:
    first, *events, last = realtime.listen(recording, model=tiny_model, fast=True)
    assert isinstance(first, Status)
    assert isinstance(last, Status)
    assert (first.state, last.state, last.since) == (State.STARTING, State.STOPPED, 5 * 16_000)
    predictions = [event for event in events if isinstance(event, Prediction)]
    assert [p.end for p in predictions] == [48_000, 56_000, 64_000, 72_000, 80_000]
    assert {(p.stream.name, p.stream.model) for p in predictions} == {("voice.wav", "tiny-float32")}
    assert all(p.latency.inference_ms > 0 for p in predictions)
    assert closed == ["voice.wav"]


def test_closing_the_iterator_closes_the_source(recording: Path, tiny_model: Path, closed: list[str]) -> None:
    events = realtime.listen(recording, model=tiny_model, fast=True)
    assert not closed
    next(events)
    assert not closed
    events.close()  # type: ignore[attr-defined]
    assert closed == ["voice.wav"]


def test_an_error_inside_the_loop_closes_the_source(
    recording: Path, tiny_model: Path, closed: list[str]
) -> None:
    def stumble() -> None:
        for _ in realtime.listen(recording, model=tiny_model, fast=True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stumble()
    assert closed == ["voice.wav"]


def test_settings(recording: Path, tiny_model: Path) -> None:
    events = realtime.listen(
        recording, model=tiny_model, fast=True, hop_s=1.0, min_probability=1.0,
        smoothing=realtime.Smoothing(method="none"),
    )  # fmt: skip
    predictions = [event for event in events if isinstance(event, Prediction)]
    assert [p.end for p in predictions] == [48_000, 64_000, 80_000]
    assert {p.label for p in predictions} == {"unknown"}
    assert all(p.smoothed == p.probabilities for p in predictions)


def test_at_its_own_pace(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, [0.1] * 8_000, 16_000)
    slept_s: list[float] = []
    clock = SimpleNamespace(now_s=0.0)
    clock.monotonic = lambda: clock.now_s

    def sleep(seconds: float) -> None:
        slept_s.append(seconds)
        clock.now_s += seconds

    clock.sleep = sleep
    monkeypatch.setattr("realtime.sources.file.time", clock)
    list(realtime.listen(path, model=tiny_model))
    assert sum(slept_s) == pytest.approx(0.5)


def test_what_cannot_be_used(recording: Path, tiny_model: Path, plug_in: PlugIn) -> None:
    plug_in("USB Stick")
    with pytest.raises(ArtifactError, match="no model 'large'"):
        next(iter(realtime.listen(recording, model="large")))
    with pytest.raises(SourceError, match="does not exist"):
        next(iter(realtime.listen("gone.wav", model=tiny_model)))
    with pytest.raises(SettingsError, match=r"hop is 0\.013 s"):
        next(iter(realtime.listen(recording, model=tiny_model, hop_s=0.013)))
    with pytest.raises(DeviceError, match="'Headset'"):
        next(iter(realtime.listen(model=tiny_model, device="Headset")))


def test_sources_of_settings(monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(bytes(6))))
    microphone = live.source_of(Settings(device="USB"), 16_000)
    assert isinstance(microphone, MicrophoneSource)
    assert microphone.name == "microphone"
    file = live.source_of(Settings(input=str(recording)), 22_050)
    assert isinstance(file, FileSource)
    assert (file.path, file.sample_rate, file.fast) == (recording, 22_050, False)
    demo = live.source_of(Settings(demo=True, fast=True), 16_000)
    assert isinstance(demo, FileSource)
    assert (demo.path, demo.name, demo.fast) == (live.DEMO, "demo", True)
    pipe = live.source_of(Settings(input="-", rate=48_000, format="s24le", channels=2), 48_000)
    assert isinstance(pipe, PcmSource)
    assert (pipe.name, pipe.sample_format, pipe.channels, pipe.is_live) == ("stdin", "s24le", 2, True)
    with pipe:
        assert [len(chunk.samples) for chunk in pipe] == [1]
    piped = live.source_of(Settings(input="-", fast=True), 16_000)
    assert isinstance(piped, PcmSource)
    assert not piped.is_live


def test_what_is_live_is_dated_by_what_comes(recording: Path) -> None:
    file = FileSource(recording, 16_000, fast=True)
    assert live.dated(file, 16_000) is file
    for is_live in (False, True):
        pipe = PcmSource(io.BytesIO(bytes(32_000)), 16_000, from_rate=16_000, live=is_live)
        with pipe:
            (chunk,) = live.dated(pipe, 16_000)
        assert (chunk.started is not None) is is_live
    assert chunk.started is not None
    assert (datetime.now(UTC) - chunk.started).total_seconds() == pytest.approx(1, abs=0.5)
    microphone = MicrophoneSource(16_000)
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        next(iter(live.dated(microphone, 16_000)))
    assert live.dated(microphone, 16_000) is not microphone


def test_may_run_outside_the_main_thread(recording: Path, tiny_model: Path) -> None:
    found: list[object] = []

    def listen() -> Iterator[object]:
        yield from realtime.listen(recording, model=tiny_model, fast=True)

    thread = threading.Thread(target=lambda: found.extend(listen()))
    thread.start()
    thread.join(60)
    assert sum(isinstance(event, Prediction) for event in found) == 5
