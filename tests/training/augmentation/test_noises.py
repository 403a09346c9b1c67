from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime.errors import CorpusError
from training.augmentation import Noises


def generator(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_recordings_of_every_format_are_found_in_the_order_of_their_names(
    noises: Noises, made_up: Path
) -> None:
    names = [path.relative_to(made_up).as_posix() for path in noises.paths()]
    assert names == sorted(names)
    assert len(names) == 6
    assert {Path(name).suffix for name in names} == {".wav", ".flac", ".ogg"}


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("n_samples", [1, 1600, 30_000, 500_000])
def test_draws_are_of_any_length_and_never_silent(noises: Noises, rate: int, n_samples: int) -> None:
    rng = generator()
    for _ in range(10):
        noise = noises.draw(n_samples, rate, rng)
        assert noise.shape == (n_samples,)
        assert noise.dtype == np.float32
        assert noise.any()


def test_silence_that_pads_a_recording_is_left_out(tmp_path: Path) -> None:
    padded = np.concatenate((np.zeros(8000), 0.1 * generator().standard_normal(4000), np.zeros(60_000)))
    soundfile.write(tmp_path / "dog.wav", padded, 16_000)
    noise = Noises(tmp_path).draw(40_000, 16_000, generator())
    assert np.sqrt(np.mean(noise.reshape(-1, 1000) ** 2, axis=1)).min() > 0.05


def test_a_long_recording_is_drawn_from_without_its_seam(tmp_path: Path) -> None:
    ramp = np.linspace(0.01, 0.9, 20_000, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, 16_000, subtype="FLOAT")
    starts = set()
    for seed in range(30):
        noise = Noises(tmp_path).draw(15_000, 16_000, generator(seed))
        assert (np.diff(noise) > 0).all()
        starts.add(float(noise[0]))
    assert len(starts) > 20
    whole = Noises(tmp_path).draw(20_000, 16_000, generator())
    assert np.array_equal(whole, ramp)


def test_other_rates_are_resampled(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(44_100 * 2) / 44_100)
    soundfile.write(tmp_path / "tone.wav", np.stack((tone, tone), axis=1), 44_100)
    noise = Noises(tmp_path).draw(16_000, 16_000, generator())
    assert np.abs(np.fft.rfft(noise)).argmax() == 1000


def test_another_process_draws_the_same(noises: Noises) -> None:
    copy = pickle.loads(pickle.dumps(noises))
    assert copy == noises
    assert np.array_equal(copy.draw(1000, 16_000, generator()), noises.draw(1000, 16_000, generator()))
    assert copy.digest() == noises.digest()


def test_what_was_drawn_is_ones_own(noises: Noises) -> None:
    first = noises.draw(1000, 16_000, generator())
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(noises.draw(1000, 16_000, generator()), kept)


def test_the_digest_tells_contents_and_names_and_not_places(made_up: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up, tmp_path / "copy")
    before = Noises(tmp_path / "copy").digest()
    assert before == Noises(made_up).digest()
    path = tmp_path / "copy" / "hum.wav"
    path.write_bytes(path.read_bytes()[:-2] + b"\1\2")
    assert Noises(tmp_path / "copy").digest() != before


def test_models_are_tested_with_noise_they_were_not_trained_with(made_up: Path) -> None:
    training, testing = (set(Noises(made_up, part).paths()) for part in ("training", "testing"))
    assert training | testing == set(Noises(made_up).paths())
    assert not training & testing
    assert training
    assert testing
    assert Noises(made_up, "training").digest() != Noises(made_up, "testing").digest()
    assert Noises(Path("elsewhere"), "testing").at(str(made_up)) == Noises(made_up, "testing")


def test_the_noise_of_the_data_folder_is_the_default(made_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONEWATCH_DATA", str(made_up.parent))
    assert Noises().folder == made_up.parent / "noise"


@pytest.mark.parametrize("target", ["", "-36"])
def test_pieces_of_one_recording_stay_together(target: str, tmp_path: Path) -> None:
    names = [f"1-{number}-{piece}{target}.wav" for number in range(8) for piece in "ABC"] + ["rain-2.wav"]
    for name in names:
        (tmp_path / name).touch()
    testing = [path.name for path in Noises(tmp_path, "testing").paths()]
    assert testing == [f"1-{number}-{piece}{target}.wav" for number in (3, 7) for piece in "ABC"]
    assert len(Noises(tmp_path, "training").paths()) == len(names) - 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "none is not a folder; wanted recordings of noise: set TONEWATCH_DATA"),
        ("empty", "empty holds no recording of noise; wanted WAV"),
        ("damaged", "noise.wav is not audio that can be read.*lies among the recordings of noise"),
        ("silent", "noise.wav is silent or holds no finite numbers"),
        ("few", "few holds 1 recordings of noise; wanted at least 4"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    if name != "none":
        folder.mkdir()
    if name == "damaged":
        (folder / "noise.wav").write_bytes(b"no audio at all")
    if name in {"silent", "few"}:
        soundfile.write(folder / "noise.wav", np.zeros(1000), 16_000)
    with pytest.raises(CorpusError, match=message) as caught:
        Noises(folder, "testing" if name == "few" else "all").draw(100, 16_000, generator())
    assert "\n" not in str(caught.value)


@pytest.mark.corpus
def test_everyday_noise_is_never_silent(noise_folder: Path) -> None:
    noises = Noises(noise_folder)
    rng = generator()
    for _ in range(60):
        assert np.mean(noises.draw(16_000, 16_000, rng) ** 2) > 0
    n_training, n_testing = (len(Noises(noise_folder, part).paths()) for part in ("training", "testing"))
    assert n_training + n_testing == len(noises.paths())
    assert 0.15 < n_testing / n_training < 0.6
