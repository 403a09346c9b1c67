from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import soundfile

from realtime import analysis, classifier
from realtime.speaker import Speaker
from realtime.voices import know_voices
from training.adaptation import Voices, follow_clips, follow_labels, window_moments
from training.recipes.schema import Speakers

if TYPE_CHECKING:
    from pathlib import Path

    from realtime.types import FloatArray
    from tests.conftest import MakeVoice

SETTINGS = Speakers(prior_s=15.0, memory_s=60.0, n_windows=8, strangers=0.5)


def inputs(n: int = 60) -> FloatArray:
    """Return windows of three speakers, who differ by their mean alone."""
    rng = np.random.default_rng(0)
    own = 50.0 * (np.arange(n) % 3)
    return (rng.standard_normal((n, 5, 2)) + own[:, np.newaxis, np.newaxis]).astype(np.float32)


def test_rows_lose_the_mean_of_their_own_speaker() -> None:
    some = inputs()
    speakers = np.arange(60) % 3
    voices = Voices(window_moments(some), speakers, SETTINGS, 3.0)
    rows = np.arange(60)
    drawn = voices.draw(some, rows, np.random.default_rng(1))
    taken = (some - drawn)[:, 0]
    assert np.allclose(some - drawn, taken[:, np.newaxis], atol=1e-3)
    shares = taken[:, 0] / np.maximum(some.mean(axis=(1, 2)), 1e-6)
    for speaker in (1, 2):
        own = shares[speakers == speaker]
        # From one window (3 s of 18) up to nine (27 of 42), and the half of them alone.
        assert 0.1 < own.min() < 0.2
        assert 0.5 < own.max() < 0.75
        assert 0.25 < np.mean(own < 0.22) < 0.75


def test_rows_are_divided_by_the_deviation_of_their_own_speaker() -> None:
    rng = np.random.default_rng(0)
    speakers = np.arange(60) % 3
    some = rng.standard_normal((60, 50, 2)).astype(np.float32) * (1 + 3 * speakers)[:, np.newaxis, np.newaxis]
    settings = msgspec.structs.replace(SETTINGS, prior_s=0.001, deviation=True)
    drawn = Voices(window_moments(some), speakers, settings, 3.0).draw(
        some, np.arange(60), np.random.default_rng(1)
    )
    for speaker in range(3):
        assert drawn[speakers == speaker].std() == pytest.approx(1.0, abs=0.05)
    # Where little was heard, most of the deviation is still the corpus's.
    settings = msgspec.structs.replace(settings, prior_s=1e6)
    drawn = Voices(window_moments(some), speakers, settings, 3.0).draw(
        some, np.arange(60), np.random.default_rng(1)
    )
    assert np.allclose(drawn, some, atol=0.05)


def test_draws_follow_from_the_generator_alone() -> None:
    some = inputs()
    voices = Voices(window_moments(some), np.arange(60) % 3, SETTINGS, 3.0)
    rows = np.arange(10)
    first, second, third = (voices.draw(some, rows, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize(
    "settings", [SETTINGS, msgspec.structs.replace(SETTINGS, deviation=True)], ids=["mean", "deviation"]
)
def test_clips_are_followed_as_the_recognizer_does(settings: Speakers) -> None:
    some = inputs(8)
    clip = np.array([0, 0, 0, 1, 1, 1, 1, 2])
    # The second clip misses a window, in which no voice was heard.
    position = np.array([0, 1, 2, 3, 4, 6, 7, 8])
    found = follow_clips(some, clip, position, settings, window_s=3.0, hop_s=0.5)
    speaker = Speaker(settings.adaptation)
    expected = []
    for row, new_s in enumerate((3.0, 0.5, 0.5, 3.0, 0.5, 1.0, 0.5, 3.0)):
        if new_s == 3.0:
            speaker.reset()
        expected.append(speaker.hear(some[row], new_s))
    assert np.array_equal(found, np.asarray(expected))


def test_clips_of_a_known_speaker_begin_with_the_others_mean() -> None:
    some = inputs(9)
    clip = np.arange(9)
    speaker = np.arange(9) % 3
    found = follow_clips(some, clip, clip, SETTINGS, window_s=3.0, hop_s=0.5, speaker=speaker)
    others = some[[3, 6]].mean(axis=(0, 1))
    own = some[0].mean(axis=0)
    mean = others + (own - others) / 3
    assert np.allclose(found[0], some[0] - mean * 9 / 24, atol=1e-5)
    alone = follow_clips(some, clip, clip, SETTINGS, window_s=3.0, hop_s=0.5, speaker=clip)
    assert np.array_equal(alone, follow_clips(some, clip, clip, SETTINGS, window_s=3.0, hop_s=0.5))


def answers(n: int) -> FloatArray:
    return np.random.default_rng(3).dirichlet(np.ones(4), n).astype(np.float32)


def test_labels_are_followed_as_the_recognizer_does() -> None:
    some = answers(8)
    clip = np.array([0, 0, 0, 1, 1, 1, 1, 2])
    position = np.array([0, 1, 2, 3, 4, 6, 7, 8])
    assert follow_labels(some, clip, position, SETTINGS, window_s=3.0, hop_s=0.5) is some
    settings = msgspec.structs.replace(SETTINGS, logit_adjustment=1.0)
    found = follow_labels(some, clip, position, settings, window_s=3.0, hop_s=0.5)
    speaker = Speaker(settings.adaptation)
    expected = []
    for row, new_s in enumerate((3.0, 0.5, 0.5, 3.0, 0.5, 1.0, 0.5, 3.0)):
        if new_s == 3.0:
            speaker.reset()
        expected.append(speaker.adjust(some[row], new_s))
    assert np.array_equal(found, np.asarray(expected))
    assert not np.allclose(found, some)


def test_clips_of_a_known_speaker_begin_with_what_the_others_were_judged_as() -> None:
    some = answers(9)
    clip, speaker = np.arange(9), np.arange(9) % 3
    settings = msgspec.structs.replace(SETTINGS, logit_adjustment=1.0, label_prior_s=6.0)
    found = follow_labels(some, clip, clip, settings, window_s=3.0, hop_s=0.5, speaker=speaker)
    usual = (some[[3, 6]].mean(axis=0) + 0.25) / 2
    assert np.allclose(found[0], some[0] / usual / (some[0] / usual).sum(), atol=1e-6)


def test_recordings_of_one_speaker_are_heard_as_they_are_scored(
    tmp_path: Path, make_voice: MakeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier.load("pair-88")
    files = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(files):
        soundfile.write(path, make_voice(4.0, seed=number), 16_000, subtype="FLOAT")
    taken: list[FloatArray] = []
    given: list[FloatArray] = []
    hear = Speaker.hear

    def spy(self: Speaker, inputs: FloatArray, new_s: float) -> FloatArray:
        taken.append(inputs)
        given.append(hear(self, inputs, new_s))
        return given[-1]

    monkeypatch.setattr(Speaker, "hear", spy)
    known = know_voices(files, lambda path: analysis.analyze(path, model), "all")
    windows = np.stack(taken)
    assert len(windows) == 3 * len(files)
    given.clear()
    for path in files:
        analysis.analyze(path, model, voice=known[path])
    found = np.stack(given)
    clip = np.repeat(np.arange(len(files)), 3)
    assert model.adaptation is not None
    settings = Speakers(**msgspec.structs.asdict(model.adaptation))
    scored = follow_clips(
        windows, clip, np.arange(9), settings, window_s=3.0, hop_s=0.5, speaker=np.zeros(9, dtype=np.int64)
    )
    np.testing.assert_allclose(found, scored, atol=1e-4)
