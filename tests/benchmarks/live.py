"""What live recognition costs, next to the usual script, in one run: time per prediction, memory, start-up.

``python tests/benchmarks/live.py [--model NAME] [--repeats N]`` prints the median time of one `push` of a
hop, with its parts; the time of the same window by librosa and Keras, where these are installed; and the
ratio. The machines that this runs on are shared and noisy: quote the ratios.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

import realtime
from realtime.artifact import DEFAULT_MODEL
from realtime.live import DEMO
from realtime.sources import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from realtime.loaded import LoadedModel


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--repeats", type=int, default=20, help="how often the demo audio is listened to")
    arguments = parser.parse_args()
    model = realtime.load(arguments.model)
    with FileSource(DEMO, model.spec.sample_rate, fast=True) as source:
        samples = np.concatenate([chunk.samples for chunk in source])

    push_ms, features_ms, inference_ms = measure_push(model, samples, arguments.repeats)
    print(f"one push of {model.hop / model.spec.sample_rate:g} s ({len(push_ms)} measured), median:")
    print(f"  whole      {statistics.median(push_ms):8.3f} ms (best {min(push_ms):.3f} ms)")
    print(f"  features   {statistics.median(features_ms):8.3f} ms")
    print(f"  inference  {statistics.median(inference_ms):8.3f} ms")
    if all(importlib.util.find_spec(name) for name in ("librosa", "tensorflow")):
        naive_ms, predict_ms = measure_naive(samples[: model.window], model.spec.sample_rate)
        print(f"the usual script, one window of {model.window / model.spec.sample_rate:g} s, median:")
        print(f"  features   {naive_ms:8.1f} ms (librosa, harmonic separation, constant-Q tonnetz)")
        print(f"  predict    {predict_ms:8.1f} ms (Keras)")
        print(f"ratio        {(naive_ms + predict_ms) / statistics.median(push_ms):8.0f}")
    else:
        print("librosa or tensorflow is not installed: nothing to compare with")
    print(f"import realtime            {import_s():.3f} s (median of 5)")
    print(f"listen --demo --fast       {listen_mib(arguments.model):.0f} MiB resident at its peak")


def measure_push(
    model: LoadedModel, samples: npt.NDArray[np.float32], n_repeats: int
) -> tuple[list[float], list[float], list[float]]:
    """Return the times of the pushes that gave a prediction, and of their two parts, in milliseconds."""
    whole, features, inference = [], [], []
    hop = model.hop
    for _ in range(n_repeats):
        recognizer = realtime.Recognizer(model, timer=time.perf_counter)
        for start in range(0, len(samples) - hop, hop):
            before = time.perf_counter()
            events = recognizer.push(samples[start : start + hop])
            elapsed_ms = 1e3 * (time.perf_counter() - before)
            for event in events:
                if isinstance(event, realtime.Prediction):
                    whole.append(elapsed_ms)
                    features.append(event.latency.features_ms)
                    inference.append(event.latency.inference_ms)
    return whole, features, inference


def measure_naive(window: npt.NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Return what features and prediction of one window take as people usually compute them, in ms."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import librosa
    import tensorflow as tf
    from librosa.effects import harmonic

    def features() -> npt.NDArray[np.float64]:
        mfcc = librosa.feature.mfcc(y=window, sr=rate, n_mfcc=40)
        rows = [
            mfcc,
            librosa.feature.delta(mfcc),
            librosa.feature.delta(mfcc, order=2),
            librosa.feature.chroma_stft(y=window, sr=rate),
            librosa.power_to_db(librosa.feature.melspectrogram(y=window, sr=rate, n_mels=49)),
            librosa.feature.spectral_contrast(y=window, sr=rate),
            librosa.feature.tonnetz(y=harmonic(window), sr=rate),
            librosa.feature.zero_crossing_rate(window),
            librosa.feature.rms(y=window),
        ]
        return np.concatenate([f(row, axis=1) for row in rows for f in (np.mean, np.std)])

    layers = [tf.keras.layers.Dense(n, activation="relu") for n in (275, 200, 150, 100)]
    network = tf.keras.Sequential([tf.keras.Input((392,)), *layers, tf.keras.layers.Dense(8, "softmax")])
    vector = features()[np.newaxis].astype(np.float32)
    return median_ms(features, 15), median_ms(lambda: network.predict(vector, verbose=0), 15)


def median_ms(call: Callable[[], object], n: int) -> float:
    """Return the median time of a call, after two that do not count, in milliseconds."""
    times = []
    for _ in range(n + 2):
        before = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - before))
    return statistics.median(times[2:])


def import_s() -> float:
    """Return what ``import realtime`` takes in a fresh interpreter, in seconds."""
    times = []
    for _ in range(5):
        code = "import time; t = time.perf_counter(); import realtime; print(time.perf_counter() - t)"
        times.append(
            float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        )
    return statistics.median(times)


def listen_mib(model: str) -> float:
    """Return the peak memory of ``tonewatch listen --demo --fast``, in MiB."""
    # The largest of all children so far counts: so in a process of its own.
    code = (
        "import resource, subprocess, sys; "
        "subprocess.run([sys.executable, '-m', 'realtime.cli', 'listen', '--demo', '--fast', "
        f"'--model', {model!r}], stdout=subprocess.DEVNULL, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return int(done.stdout) / 1024


if __name__ == "__main__":
    main()
