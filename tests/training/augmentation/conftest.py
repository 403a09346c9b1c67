"""Made-up recordings of noise: of several formats, rates and lengths, one padded with silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.augmentation import Noises


def write_noise(path: Path, rate: int, seconds: float, *, channels: int = 1, padding_s: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Seeded by its name, so that every recording differs.
    rng = np.random.default_rng(list(path.name.encode()))
    noise = 0.1 * rng.standard_normal((round(seconds * rate), channels))
    padding = np.zeros((round(padding_s * rate), channels))
    soundfile.write(path, np.concatenate((noise, padding)), rate)


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    write_noise(folder / "street" / "1-17-A.wav", 16_000, 5.0)
    write_noise(folder / "street" / "1-17-B.wav", 16_000, 5.0)
    write_noise(folder / "kitchen" / "fan.flac", 44_100, 3.0, channels=2)
    write_noise(folder / "kitchen" / "tap.ogg", 22_050, 2.0)
    write_noise(folder / "dog.flac", 16_000, 0.3, padding_s=4.7)
    write_noise(folder / "hum.wav", 8_000, 4.0)
    (folder / "CREDITS.md").write_text("nobody", encoding="utf-8")
    # What macOS leaves beside files is no audio.
    (folder / "street" / "._1-17-A.wav").write_bytes(b"\x00\x05\x16\x07")
    return folder


@pytest.fixture
def noises(made_up: Path) -> Noises:
    return Noises(made_up)
