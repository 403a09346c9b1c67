from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest

import training
from realtime.errors import CorpusError
from training.augmentation import Noises, noise_digest, vary
from training.recipes.schema import Band, Clipping, Gain, Noise, Room, RoomNoise, Silence, Speed, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

STEPS: list[Step] = [*(kind() for kind in get_args(Step)), Band(device="laptop")]
RATES = (16_000, 22_050, 24_000)

every_step = pytest.mark.parametrize("step", STEPS, ids=repr)
every_rate = pytest.mark.parametrize("rate", RATES)


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_sound(samples: Samples) -> bool:
    return samples.dtype == np.float32 and bool(np.isfinite(samples).all()) and np.abs(samples).max() <= 1


@every_rate
@every_step
def test_every_step_changes_a_clip_into_another(
    step: Step, rate: int, noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    clip = make_voice(1.3, rate=rate)
    before = clip.copy()
    first, second = (vary(clip, rate, [step], generator(), noises) for _ in range(2))
    assert is_sound(first)
    assert np.array_equal(first, second)
    assert np.array_equal(clip, before)
    assert not np.array_equal(first, clip)


@every_rate
@every_step
def test_every_step_copes_with_a_tenth_of_a_second_and_with_silence(
    step: Step, rate: int, noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    assert is_sound(vary(make_voice(0.1, rate=rate), rate, [step], generator(), noises))
    for seconds in (0.1, 1.0):
        silence = np.zeros(round(seconds * rate), dtype=np.float32)
        varied = vary(silence, rate, [step], generator(), noises)
        assert is_sound(varied)
        assert isinstance(step, RoomNoise) or not varied.any()


@every_step
def test_what_is_too_loud_is_cut_off(step: Step, noises: Noises, make_voice: Callable[..., Samples]) -> None:
    loud = 3 * make_voice(1.0)
    assert is_sound(vary(loud, 16_000, [Gain(gain_db=(20, 20)), step], generator(), noises))


@pytest.mark.parametrize("step", [step for step in STEPS if not isinstance(step, Band)], ids=repr)
def test_copies_of_one_generator_differ(
    step: Step, noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    rng = generator()
    first, second = (vary(make_voice(1.0), 16_000, [step], rng, noises) for _ in range(2))
    assert not np.array_equal(first, second)


def test_global_generators_are_neither_used_nor_touched(
    noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    import pyroomacoustics

    clip = make_voice(1.0)
    copies = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what is tested
        pyroomacoustics.random.seed(seed)
        python, numpy = random.getstate(), str(np.random.get_state())  # noqa: NPY002 - the same
        copies.append(vary(clip, 16_000, STEPS, generator(), noises))
        assert random.getstate() == python
        assert str(np.random.get_state()) == numpy  # noqa: NPY002 - the same
    assert np.array_equal(copies[0], copies[1])


PROGRAM = """
import hashlib, sys
from pathlib import Path
import numpy as np
from training.augmentation import Noises, vary
from training.recipes.schema import *
from typing import get_args
clip = np.sin(np.arange(20_011) ** 1.5 / 500).astype(np.float32) / 2
steps = [kind() for kind in get_args(Step)]
rng = np.random.default_rng(7)
noises = Noises(Path(sys.argv[1]))
print([hashlib.sha256(vary(clip, 16_000, [step], rng, noises)).hexdigest() for step in steps])
"""


@pytest.mark.slow
def test_other_processes_make_bitwise_the_same_copies(made_up: Path) -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(made_up)],
            check=True,
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(training.__file__).parent.parent),
                "PYTHONHASHSEED": n,
                "PRA_NUM_THREADS": n,
            },
        ).stdout
        for n in ("1", "2")
    }
    assert len(printed) == 1


def test_probability_is_the_share_of_copies_that_a_step_is_done_to(noises: Noises) -> None:
    clip = np.full(100, 0.1, dtype=np.float32)
    step = Gain(probability=0.3, gain_db=(6, 6))
    rng = generator()
    n_louder = sum(vary(clip, 16_000, [step], rng, noises)[0] > 0.15 for _ in range(1000))
    assert 250 < n_louder < 350
    never = Gain(probability=0.0, gain_db=(6, 6))
    assert np.array_equal(vary(clip, 16_000, [never], rng, noises), clip)


def test_steps_are_done_in_their_order(noises: Noises, make_voice: Callable[..., Samples]) -> None:
    clip, silence = make_voice(1.0), Silence(before_s=(0.5, 0.5), after_s=(0.25, 0.25))
    noise = RoomNoise(level_dbfs=(-50, -50))
    behind = vary(clip, 16_000, [noise, silence], generator(), noises)
    assert len(behind) == 28_000
    assert not behind[:8000].any()
    assert not behind[-4000:].any()
    assert vary(clip, 16_000, [silence, noise], generator(), noises)[:8000].all()


def test_no_step_leaves_the_clip_as_it_is(noises: Noises, make_voice: Callable[..., Samples]) -> None:
    clip = make_voice(0.5)
    assert np.array_equal(vary(clip, 16_000, [], generator(), noises), clip)
    nothing = np.zeros(0, dtype=np.float32)
    assert not len(vary(nothing, 16_000, STEPS, generator(), noises))


@pytest.mark.parametrize("snr_db", [0.0, 12.5])
def test_noise_lies_so_far_below_the_voice(
    snr_db: float, noises: Noises, make_voice: Callable[..., Samples]
) -> None:
    clip = make_voice(1.0)
    step = Noise(snr_db=(snr_db, snr_db))
    for seed in range(5):
        added = vary(clip, 16_000, [step], generator(seed), noises).astype(np.float64) - clip
        assert 10 * np.log10(np.mean(np.square(clip, dtype=np.float64)) / np.mean(added**2)) == pytest.approx(
            snr_db, abs=0.01
        )
    # Silence around the voice does not make it softer.
    silence = Silence(before_s=(2, 2))
    added = vary(clip, 16_000, [silence, step], generator(), noises).astype(np.float64)
    added -= np.pad(clip, (32_000, 0))
    assert 10 * np.log10(np.mean(np.square(clip, dtype=np.float64)) / np.mean(added**2)) == pytest.approx(
        snr_db, abs=0.01
    )


def test_draws_lie_within_their_ends(noises: Noises, make_voice: Callable[..., Samples]) -> None:
    clip, rng = 0.2 * make_voice(0.5), generator()
    gains_db, factors, shares = [], [], []
    for _ in range(50):
        louder = vary(clip, 16_000, [Gain(gain_db=(-6, 3))], rng, noises)
        gains_db.append(20 * np.log10(np.abs(louder).max() / np.abs(clip).max()))
        factors.append(len(clip) / len(vary(clip, 16_000, [Speed(change=(-0.1, 0.2))], rng, noises)))
        cut = np.abs(vary(clip, 16_000, [Clipping(share=(0.02, 0.2))], rng, noises))
        shares.append(float((cut == cut.max()).mean()))
    for values, low, high in ((gains_db, -6, 3), (factors, 0.9, 1.2), (shares, 0.02, 0.2)):
        slack = 0.002 + 0.001 * (high - low)
        assert low - slack <= min(values) < low + 0.2 * (high - low)
        assert high - 0.2 * (high - low) < max(values) <= high + slack


def test_a_room_of_that_reverberation_is_heard(noises: Noises) -> None:
    click = np.zeros(16_000, dtype=np.float32)
    click[0] = 0.9
    step = Room(rt60_s=(0.3, 0.3), distance_m=(1, 1))
    heard = vary(click, 16_000, [step], generator(), noises).astype(np.float64)
    remaining_db = 10 * np.log10(np.cumsum(heard[::-1] ** 2)[::-1] / np.sum(heard**2))
    fall_s = (int(np.argmax(remaining_db < -35)) - int(np.argmax(remaining_db < -5))) / 16_000
    assert 2 * fall_s == pytest.approx(0.3, rel=0.1)


def test_the_digest_is_that_of_the_noises_that_are_drawn_from(noises: Noises, tmp_path: Path) -> None:
    missing = Noises(tmp_path / "none")
    assert noise_digest([Gain()], missing) == noise_digest([], missing)
    with pytest.raises(CorpusError, match="none is not a folder"):
        noise_digest([Noise()], missing)
    # A folder that the step names takes the place of the others.
    named = Noise(folder=str(noises.folder))
    assert noise_digest([named], missing) == noise_digest([Noise()], noises) != noise_digest([], noises)


def test_a_step_may_name_other_noises(made_up: Path, tmp_path: Path) -> None:
    clip: Any = np.full(1000, 0.1, dtype=np.float32)
    step, named = Noise(snr_db=(10, 10)), Noise(snr_db=(10, 10), folder=str(made_up))
    varied = vary(clip, 16_000, [named], generator(), Noises(tmp_path / "none"))
    assert np.array_equal(varied, vary(clip, 16_000, [step], generator(), Noises(made_up)))


def test_noise_that_cannot_be_found_is_refused(tmp_path: Path) -> None:
    clip: Any = np.zeros(100, dtype=np.float32)
    with pytest.raises(CorpusError, match="wanted recordings of noise"):
        vary(clip, 16_000, [Noise()], generator(), Noises(tmp_path / "none"))
