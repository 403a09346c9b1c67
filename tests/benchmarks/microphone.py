"""Whether live listening keeps what the scores promise: an actor's recordings, played into a microphone.

``python tests/benchmarks/microphone.py [--model NAME] [--actor N] [--channel speech] [--clips N]`` starts a
sound server of its own, plays the actor's RAVDESS recordings into it one after the other, with silence
between, listens to them as `tonewatch listen` does, and prints how many windows it tells right: live, of the
same samples pushed as a file, and what the model's card has for strangers' windows. Which actors a model was
not trained on is said in its card.

A window counts if it lies within one recording and the silence around it. It takes as long as the recordings.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

import realtime
from realtime.artifact import DEFAULT_MODEL
from realtime.sources import FileSource, MicrophoneSource
from realtime.types import LABELS, Prediction

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.integration.conftest import VirtualMicrophone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.loaded import LoadedModel
    from realtime.types import FloatArray

LEAD_S = 4.0
"""Silence before the first recording: the player takes a moment."""
PLAYER_S = 3.0
"""Within this the player has begun."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--actor", type=int, default=24)
    parser.add_argument("--channel", choices=("speech", "song"), default="speech")
    parser.add_argument("--clips", type=int, default=1000, help="at most so many of them, evenly chosen")
    arguments = parser.parse_args()
    model = realtime.load(arguments.model)
    data = Path(os.environ.get("TONEWATCH_DATA", "../shared/data"))
    folder = data / "ravdess" / arguments.channel / f"Actor_{arguments.actor:02d}"
    paths = sorted(folder.glob("*.flac")) or sorted(folder.glob("*.wav"))
    if not paths:
        sys.exit(f"{folder} holds no recordings; set TONEWATCH_DATA to the folder that holds ravdess/")
    paths = paths[:: max(1, -(-len(paths) // arguments.clips))]
    tape, spans = join(paths, model)
    seconds = len(tape) / model.spec.sample_rate
    print(f"actor {arguments.actor}, {len(paths)} recordings ({arguments.channel}): {seconds:.0f} s")
    show("pushed as a file", judge(model, tape), spans)
    heard = listen(tape, model, seconds)
    delay = find_delay(tape, heard, model.spec.sample_rate)
    print(f"the microphone heard it {delay / model.spec.sample_rate:+.2f} s later")
    show("live", [(start - delay, end - delay, label) for start, end, label in judge(model, heard)], spans)
    if scores := model.artifact.card.scores.get("speaker", {}).get("windows"):
        part = next(name for name in (f"ravdess-{arguments.channel}", arguments.channel) if name in scores)
        low, high = scores[part].ci95["accuracy"]
        print(f"{'the card':18} {scores[part].n:5d} windows, {scores[part].accuracy:.1%} right", end=" ")
        print(f"({low:.1%} to {high:.1%}), {part}")


def join(paths: Sequence[Path], model: LoadedModel) -> tuple[FloatArray, list[tuple[int, int, str]]]:
    """Return recordings one after the other, and where each begins and ends, with its label."""
    rate = model.spec.sample_rate
    # So long that no window holds parts of two recordings.
    silence = np.zeros(model.window, dtype=np.float32)
    parts, spans = [np.zeros(round(LEAD_S * rate), dtype=np.float32)], []
    at = len(parts[0])
    for path in paths:
        with FileSource(path, rate, fast=True) as source:
            samples = np.concatenate([chunk.samples for chunk in source])
        spans.append((at, at + len(samples), LABELS[int(path.name.split("-")[2]) - 1]))
        parts += [samples, silence]
        at += len(samples) + len(silence)
    return np.concatenate(parts), spans


def judge(model: LoadedModel, samples: FloatArray) -> list[tuple[int, int, str]]:
    """Return the predictions of a stream: where each one's window begins and ends, and its label."""
    recognizer = realtime.Recognizer(model)
    events = [*recognizer.push(samples), *recognizer.finish()]
    return [(event.start, event.end, event.label) for event in events if isinstance(event, Prediction)]


def listen(tape: FloatArray, model: LoadedModel, seconds: float) -> FloatArray:
    """Play a tape into a microphone, and return what it heard."""
    rate = model.spec.sample_rate
    heard: list[FloatArray] = []
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder, "tape.wav"), tape, rate, subtype="PCM_16")
        microphone = VirtualMicrophone(Path(folder))
        os.environ.update(microphone.environment)
        microphone.start()
        try:
            with MicrophoneSource(rate) as source:
                player = microphone.play(Path(folder, "tape.wav"))
                ends = time.monotonic() + seconds + PLAYER_S
                for chunk in source:
                    if chunk.dropped:
                        print(f"lost {chunk.dropped} samples: {chunk.detail}")
                    # What was lost keeps its place, so that what follows keeps its.
                    heard += [np.zeros(chunk.dropped, dtype=np.float32), chunk.samples]
                    if time.monotonic() > ends:
                        break
                player.wait()
        finally:
            microphone.stop()
    return np.concatenate(heard)


def find_delay(tape: FloatArray, heard: FloatArray, rate: int) -> int:
    """Return how many samples later the tape is in what was heard, by their correlation."""
    n = 1 << int(np.ceil(np.log2(len(tape) + len(heard))))
    spectrum = np.fft.rfft(heard, n) * np.conj(np.fft.rfft(tape, n))
    # Negative where listening began after playing.
    most = round(2 * PLAYER_S * rate)
    correlation = np.fft.irfft(spectrum, n)
    return int(np.concatenate((correlation[-most:], correlation[:most])).argmax()) - most


def show(
    name: str, predictions: Sequence[tuple[int, int, str]], spans: Sequence[tuple[int, int, str]]
) -> None:
    """Print how many of the windows that hold a recording's voice are told right."""
    truth = []
    for start, end, label in predictions:
        shared = [min(end, last) - max(start, first) for first, last, _ in spans]
        truth.append((spans[int(np.argmax(shared))][2], label))
    n_right = sum(wanted == found for wanted, found in truth)
    print(f"{name:18} {len(truth):5d} windows, {n_right / max(1, len(truth)):.1%} right")


if __name__ == "__main__":
    main()
