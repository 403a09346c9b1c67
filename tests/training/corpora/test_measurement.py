from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime.types import SILENCE_DBFS
from training.corpora.measurement import Measurement, measure


def test_facts_are_the_file_s(made_up: Any, tmp_path: Path) -> None:
    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)
    path = made_up.write(tmp_path / "a.wav", samples)
    found = measure(path)
    assert not found.problem
    assert (found.n_samples, found.sample_rate) == (8000, 16_000)
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert found.level_dbfs == pytest.approx(-9.03, abs=0.01)
    assert found.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_content_is_the_same_in_every_container(made_up: Any, tmp_path: Path) -> None:
    mono = np.round(made_up.sound() * 32_768) / 32_768
    found = [
        measure(made_up.write(tmp_path / "a.wav", mono)),
        measure(made_up.write(tmp_path / "a.flac", mono)),
        measure(made_up.write(tmp_path / "b.wav", mono, subtype="FLOAT")),
        measure(made_up.write(tmp_path / "c.wav", np.stack([mono, mono], axis=1))),
    ]
    assert len({one.content_sha256 for one in found}) == 1
    assert len({one.file_sha256 for one in found}) == 4


def test_channels_in_opposite_phase_are_measured_as_they_are_heard(made_up: Any, tmp_path: Path) -> None:
    samples = [made_up.sound(seconds=2, seed=seed) for seed in (1, 2)]
    mono = measure(made_up.write(tmp_path / "mono.wav", samples[0]))
    found = [
        measure(made_up.write(tmp_path / f"{number}.wav", np.stack([own, -own], axis=1)))
        for number, own in enumerate(samples)
    ]
    assert found[0].level_dbfs == pytest.approx(mono.level_dbfs, abs=2)
    # Neither is silence, nor the same as the other.
    assert found[0].content_sha256 != found[1].content_sha256


def test_other_samples_or_another_rate_are_other_content(made_up: Any, tmp_path: Path) -> None:
    samples = made_up.sound()
    found = [
        measure(made_up.write(tmp_path / "a.wav", samples)),
        measure(made_up.write(tmp_path / "b.wav", samples, rate=8000)),
        measure(made_up.write(tmp_path / "c.wav", samples[:-1])),
    ]
    assert len({one.content_sha256 for one in found}) == 3


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_what_is_cut_short_is_found(made_up: Any, tmp_path: Path, suffix: str, share: float) -> None:
    path = made_up.write(tmp_path / f"a{suffix}", made_up.sound(seconds=2))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "cut short" in measure(path).problem


def test_a_flac_that_does_not_tell_its_length_is_measured(made_up: Any, tmp_path: Path) -> None:
    path = made_up.write(tmp_path / "a.flac", made_up.sound(seconds=2))
    known = measure(path)
    data = bytearray(path.read_bytes())
    # STREAMINFO's number of samples: 36 bits.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    found = measure(path)
    assert not found.problem
    assert (found.n_samples, found.content_sha256) == (known.n_samples, known.content_sha256)


def test_damage_is_found(made_up: Any, tmp_path: Path) -> None:
    path = made_up.write(tmp_path / "a.flac", made_up.sound(seconds=2))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    assert "damaged" in measure(path).problem


@pytest.mark.parametrize("announced", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_lengths_that_were_not_known_are_no_damage(made_up: Any, tmp_path: Path, announced: int) -> None:
    path = made_up.write(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[4:8] = announced.to_bytes(4, "little")
    path.write_bytes(data)
    assert not measure(path).problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "is empty (0 bytes)"), (b"hello", "no audio"), (None, "cannot be opened: No such file")],
)
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.raw"])
def test_what_is_no_audio_is_told(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert problem in measure(path).problem


def test_nothing_but_a_header_is_told(made_up: Any, tmp_path: Path) -> None:
    assert "0 samples" in measure(made_up.write(tmp_path / "a.wav", np.zeros(0))).problem


def test_infinite_samples_are_told(made_up: Any, tmp_path: Path) -> None:
    samples = made_up.sound()
    samples[100] = np.inf
    assert "not finite" in measure(made_up.write(tmp_path / "a.wav", samples, subtype="FLOAT")).problem


@pytest.mark.parametrize("constant", [0.0, 0.25])
def test_a_constant_is_silence(made_up: Any, tmp_path: Path, constant: float) -> None:
    found = measure(made_up.write(tmp_path / "a.wav", np.full(8000, constant)))
    assert (found.peak_dbfs, found.level_dbfs) == (SILENCE_DBFS, SILENCE_DBFS)


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("side", ["both", "above", "below"])
def test_flat_tops_are_found_at_any_level(made_up: Any, tmp_path: Path, gain: float, side: str) -> None:
    time = np.arange(16_000) / 16_000
    wave = 2 * np.sin(2 * np.pi * 200 * time) * (1 + 0.3 * np.sin(2 * np.pi * 3 * time))
    clipped = np.clip(wave, -1 if side != "above" else None, 1 if side != "below" else None)
    samples = gain * clipped / np.abs(clipped).max()
    share = measure(made_up.write(tmp_path / "a.wav", samples)).clipped_share
    # A sine of twice the height is beyond the limits for about two thirds of its time.
    assert share == pytest.approx(0.65 if side == "both" else 0.325, abs=0.03)


@pytest.mark.parametrize(("frequency", "rate"), [(80, 48_000), (440, 16_000), (1000, 16_000)])
def test_waves_that_are_not_clipped_have_no_flat_tops(
    made_up: Any, tmp_path: Path, frequency: float, rate: int
) -> None:
    time = np.arange(rate) / rate
    samples = np.sin(2 * np.pi * frequency * time) * (1 - 0.5 * time)
    assert measure(made_up.write(tmp_path / "a.wav", samples, rate=rate)).clipped_share < 0.0003


def test_one_channel_that_is_clipped_is_enough(made_up: Any, tmp_path: Path) -> None:
    clean = made_up.sound()
    clipped = np.clip(3 * clean, -0.02, 0.02)
    found = measure(made_up.write(tmp_path / "a.wav", np.stack([clean, clipped], axis=1)))
    assert found.clipped_share > 0.3


def test_problems_come_without_numbers(tmp_path: Path) -> None:
    found = measure(tmp_path / "none.wav")
    assert found == Measurement(problem=found.problem)
