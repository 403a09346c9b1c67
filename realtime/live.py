"""Live events in one call, and the wiring of sources that it shares with the commands."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from realtime import classifier
from realtime.artifact import DEFAULT_MODEL
from realtime.dating import Dating
from realtime.recognizer import Recognizer
from realtime.sources import FileSource, MicrophoneSource, PcmSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime.config import Settings
    from realtime.types import Chunk, Event, Smoothing

AnySource: TypeAlias = FileSource | MicrophoneSource | PcmSource

DEMO = Path(__file__).resolve().parent / "demo" / "voices.flac"
"""The bundled demo audio: synthetic voices."""


def listen(
    path: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    device: int | str | None = None,
    fast: bool = False,
    hop_s: float | None = None,
    smoothing: Smoothing | None = None,
    min_probability: float = 0.0,
) -> Iterator[Event]:
    """Iterate over the events of a microphone, or of an audio file, as they happen.

    Parameters
    ----------
    path
        An audio file; the microphone where None.
    model
        Name of a model, or path of its folder.
    device
        Index, or part of the name, of the microphone; the default one where None.
    fast
        Read a file as fast as possible instead of at real-time pace.
    hop_s
        Seconds between predictions; the model's own where None.
    smoothing
        How successive windows are combined; the model's own where None.
    min_probability
        Below this the label is `unknown`.

    Yields
    ------
    Event
        A `Prediction`, `Segment` or `Status`. Closing the iterator closes the source.

    Raises
    ------
    TonewatchError
        Where the model, the microphone or the file cannot be used.

    Examples
    --------
    >>> import realtime
    >>> from realtime.live import DEMO
    >>> events = list(realtime.listen(DEMO, fast=True))
    >>> events[-1].state
    <State.STOPPED: 'stopped'>
    """
    judge = classifier.load(model)
    rate = judge.spec.sample_rate
    source: AnySource = (
        MicrophoneSource(rate, device=device) if path is None else FileSource(Path(path), rate, fast=fast)
    )
    with source:
        recognizer = Recognizer(
            judge,
            hop_s=hop_s,
            smoothing=smoothing,
            min_probability=min_probability,
            name=source.name,
            timer=time.perf_counter,
        )
        for chunk in dated(source, rate):
            yield from recognizer.push(chunk)
        yield from recognizer.finish()


def source_of(settings: Settings, sample_rate: int) -> AnySource:
    """Return the source that settings ask for, not yet opened, at the model's sample rate in Hz."""
    if settings.demo:
        return FileSource(DEMO, sample_rate, fast=settings.fast, name="demo")
    if settings.input == "-":
        return PcmSource(
            sys.stdin.buffer,
            sample_rate,
            from_rate=settings.rate,
            sample_format=settings.format,
            channels=settings.channels,
            live=not settings.fast,
        )
    if settings.input is not None:
        return FileSource(Path(settings.input), sample_rate, fast=settings.fast)
    return MicrophoneSource(sample_rate, device=settings.device)


def dated(source: AnySource, sample_rate: int) -> Iterable[Chunk]:
    """Return a source's chunks, at a rate in Hz; those of a live one tell when the stream was heard."""
    is_live = isinstance(source, MicrophoneSource) or (isinstance(source, PcmSource) and source.is_live)
    return map(Dating(sample_rate).date, source) if is_live else source
