from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from training.augmentation import CONDITIONS, Condition, Noises, clip_rng, degrade

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

BY_NAME = {condition.name: condition for condition in CONDITIONS}
every_condition = pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)


def power_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def test_the_protocols_conditions_are_there() -> None:
    assert list(BY_NAME) == [
        "noise-20db",
        "noise-10db",
        "noise-5db",
        "noise-0db",
        "reverberation",
        "telephone",
        "quiet",
        "mp3-32k",
    ]
    assert [condition.name for condition in CONDITIONS if condition.needs_noise] == list(BY_NAME)[:4]
    assert all(condition.description for condition in CONDITIONS)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
@every_condition
def test_every_condition_spoils_a_clip_and_keeps_its_length(
    condition: Condition, rate: int, noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    clip = make_voice(1.13, rate=rate)
    spoilt, again = (degrade(clip, rate, condition, clip_rng("c0ffee"), noises) for _ in range(2))
    assert spoilt.shape == clip.shape
    assert spoilt.dtype == np.float32
    assert np.isfinite(spoilt).all()
    assert np.abs(spoilt).max() <= 1
    assert np.array_equal(spoilt, again)
    assert not np.allclose(spoilt, clip, atol=1e-4)


def test_noise_is_as_loud_as_its_name_says_and_the_same_at_every_level(
    noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    clip = make_voice(1.0)
    added = {
        snr_db: degrade(clip, 16_000, BY_NAME[f"noise-{snr_db}db"], clip_rng("ab"), noises) - clip
        for snr_db in (20, 10, 5, 0)
    }
    for snr_db, noise in added.items():
        assert power_db(clip) - power_db(noise) == pytest.approx(snr_db, abs=0.05)
        assert np.corrcoef(noise, added[0])[0, 1] > 0.999
    other = degrade(clip, 16_000, BY_NAME["noise-0db"], clip_rng("cd"), noises) - clip
    assert abs(np.corrcoef(other, added[0])[0, 1]) < 0.5


def test_a_clips_digest_is_all_that_its_draws_depend_on() -> None:
    digests = ("00", "01", f"{2**255:x}")
    draws = [clip_rng(digest).random() for digest in digests]
    assert len(set(draws)) == 3
    assert draws == [clip_rng(digest).random() for digest in digests]


def test_quiet_is_30_db_softer(noises: Noises, make_voice: Callable[..., Samples]) -> None:
    clip = make_voice(1.0)
    soft = degrade(clip, 16_000, BY_NAME["quiet"], clip_rng("0"), noises)
    assert power_db(soft) == pytest.approx(power_db(clip) - 30, abs=0.001)


def test_conditions_but_noise_need_no_recordings(tmp_path: Path, make_voice: Callable[..., Samples]) -> None:
    for condition in CONDITIONS:
        if not condition.needs_noise:
            degrade(make_voice(0.3), 16_000, condition, clip_rng("0"), Noises(tmp_path / "none"))


@pytest.mark.corpus
def test_a_real_clip_is_spoilt_as_it_should_be(ravdess: Path, noise_folder: Path) -> None:
    clip, rate = soundfile.read(
        ravdess / "speech" / "Actor_01" / "03-01-05-02-01-01-01.flac", dtype="float32"
    )
    noises = Noises(noise_folder, "testing")
    spoilt = {
        condition.name: degrade(clip, rate, condition, clip_rng("c0ffee"), noises) for condition in CONDITIONS
    }

    def above_db(samples: Samples, hz: float) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        edge = round(hz * len(samples) / rate)
        return float(10 * np.log10(power[edge:].sum() / power.sum()))

    assert above_db(clip, 4500) > -25
    assert above_db(spoilt["telephone"], 4500) < -60
    assert above_db(spoilt["mp3-32k"], 4500) > -30
    # The pause between the sentence's end and the clip's is filled by noise and by what the room rings on.
    loudness = np.sqrt(np.mean(clip[: len(clip) // 480 * 480].reshape(-1, 480) ** 2, axis=1))
    end = (int(np.flatnonzero(loudness > 0.1 * loudness.max())[-1]) + 3) * 480
    pause = slice(end, end + 4800)
    for name in ("noise-10db", "reverberation"):
        assert power_db(spoilt[name][pause]) > power_db(clip[pause]) + 3
