"""What all tests share: where the recordings are, made-up signals, and the vow to skip nothing in CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
RATE = 16_000


def data_folder() -> Path:
    return Path(os.environ.get("TONEWATCH_DATA", ROOT.parent / "shared" / "data"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - the hook's signature
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what would be skipped where TONEWATCH_NO_SKIPS is set: CI has everything a test may need."""
    report = yield
    if report.skipped and os.environ.get("TONEWATCH_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although TONEWATCH_NO_SKIPS is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def ravdess() -> Path:
    """Folder of the RAVDESS recordings; skips where it is absent."""
    folder = data_folder() / "ravdess"
    if not folder.is_dir():
        pytest.skip(f"no RAVDESS recordings in {folder}: set TONEWATCH_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def noise_folder() -> Path:
    """Folder of everyday noise; skips where it is absent."""
    folder = data_folder() / "noise"
    if not folder.is_dir():
        pytest.skip(f"no noise recordings in {folder}: set TONEWATCH_DATA to the folder that holds them")
    return folder


def voice(seconds: float, seed: int = 0, rate: int = RATE) -> npt.NDArray[np.float32]:
    """Make a voice-like signal: a gliding pulse train with formants, in syllables, over faint noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    f0 = 140 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    signal = np.zeros_like(time)
    for harmonic in range(1, 25):
        frequency = harmonic * 140
        gain = sum(np.exp(-(((frequency - formant) / 250) ** 2)) for formant in (500, 1500, 2500)) + 0.02
        signal += gain * np.sin(harmonic * phase + rng.uniform(0, 6))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + rng.uniform(0, 6)) + 0.6, 0, 1)
    signal = 0.1 * signal * syllables + 0.0005 * rng.standard_normal(len(time))
    return signal.astype(np.float32)


@pytest.fixture(scope="session")
def signals() -> dict[str, npt.NDArray[np.float32]]:
    """Signals on which features are compared with the reference, 2 s each."""
    rng = np.random.default_rng(7)
    n = 2 * RATE
    time = np.arange(n) / RATE
    impulses = np.zeros(n)
    impulses[::1777] = 0.9
    made_up = {
        "noise": 0.1 * rng.standard_normal(n),
        "faint noise": 1e-5 * rng.standard_normal(n),
        "silence": np.zeros(n),
        "clipping": np.clip(4 * np.sin(2 * np.pi * 220 * time) + 0.5 * rng.standard_normal(n), -1, 1),
        "impulses": impulses,
        "chirp": 0.5 * np.sin(2 * np.pi * (50 * time + 1900 * time**2)),
        "voice": voice(2.0),
    }
    folder = data_folder() / "ravdess"
    if folder.is_dir():
        for name in ("speech/Actor_01/03-01-05-02-01-01-01.flac", "song/Actor_02/03-02-04-01-02-01-02.flac"):
            samples, _ = soundfile.read(folder / name, dtype="float64")
            # At 24 kHz, taken for 16 kHz: a real recording, slowed down.
            made_up[name] = samples[12_000 : 12_000 + n]
    return {name: samples.astype(np.float32) for name, samples in made_up.items()}
