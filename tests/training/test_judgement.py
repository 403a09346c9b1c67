from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from realtime.artifact import Preprocessing
from realtime.types import Smoothing
from training import judgement
from training.adaptation import follow_labels
from training.judgement import (
    Judged,
    Truth,
    in_strength,
    join,
    normalise_by_speaker,
    outcome_of_clips,
    outcome_of_windows,
    restrict,
)
from training.recipes.schema import Speakers

if TYPE_CHECKING:
    from training.study import Study

TRUTH = Truth(np.array([0, 1, 2, 1, 0]), np.array([0, 0, 1, 1, 2]))
PREPROCESSING = Preprocessing(
    np.array([0, 2, 3]),
    np.array([0.5, 1.0, 1.5], dtype=np.float32),
    np.array([1.0, 2.0, 100.0], dtype=np.float32),
)


def judged(clip: list[int], probabilities: list[list[float]], position: list[int] | None = None) -> Judged:
    places = range(len(clip)) if position is None else position
    return Judged(np.array(clip), np.array(places), np.array(probabilities, dtype=np.float32))


def recordings(*frames: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return features, clips and speakers of windows: one speaker with three clips, one with two."""
    rng = np.random.default_rng(0)
    clip = np.array([3, 3, 5, 8, 8, 8, 9, 9, 11])
    speaker = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0])
    features = (4 + 2 * rng.standard_normal((9, *frames, 5))).astype(np.float32)
    return features, clip, speaker


@pytest.mark.parametrize("frames", [(), (6,)])
def test_speakers_are_normalised_by_their_other_clips(frames: tuple[int, ...]) -> None:
    features, clip, speaker = recordings(*frames)
    found = normalise_by_speaker(features, PREPROCESSING, clip, speaker)
    assert found.dtype == np.float32
    for row in range(len(clip)):
        others = (speaker == speaker[row]) & (clip != clip[row])
        known = features[others][..., PREPROCESSING.selected].reshape(-1, 3).astype(np.float64)
        # A voice's deviation, but a tenth of the corpus's at the least: so the third feature's is 10.
        scale = np.maximum(known.std(axis=0), 0.1 * PREPROCESSING.scale)
        assert scale[2] == pytest.approx(10)
        wanted = (features[row][..., PREPROCESSING.selected] - known.mean(axis=0)) / scale
        assert found[row] == pytest.approx(wanted, abs=1e-5)


def test_a_speaker_with_one_clip_is_normalised_as_the_training_part() -> None:
    features, clip, speaker = recordings()
    alone = np.where(clip == 5, 7, speaker)
    found = normalise_by_speaker(features, PREPROCESSING, clip, alone)
    assert np.array_equal(found[clip == 5], PREPROCESSING(features[clip == 5]))


def test_a_clip_says_nothing_of_how_it_is_normalised_itself() -> None:
    features, clip, speaker = recordings()
    plain = normalise_by_speaker(features, PREPROCESSING, clip, speaker)
    other = features.copy()
    other[np.flatnonzero(clip == 8)[1:]] *= 50
    found = normalise_by_speaker(other, PREPROCESSING, clip, speaker)
    first = np.flatnonzero(clip == 8)[0]
    assert np.array_equal(found[first], plain[first])
    # Of another voice neither; of the speaker's other clips it does.
    assert np.array_equal(found[speaker == 0], plain[speaker == 0])
    assert not np.allclose(found[clip == 3], plain[clip == 3])


def test_order_decides_nothing() -> None:
    features, clip, speaker = recordings()
    order = np.random.default_rng(0).permutation(len(clip))
    plain = normalise_by_speaker(features, PREPROCESSING, clip, speaker)
    mixed = normalise_by_speaker(features[order], PREPROCESSING, clip[order], speaker[order])
    assert mixed == pytest.approx(plain[order], abs=1e-6)


def test_judging_adapted_looks_at_no_label_and_at_the_test_part_alone(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgement, "predict_both", lambda _recipe, _fitted, inputs: (inputs[:, :3], None))
    n_values = study.recipe.features.n_values
    ones = np.ones(n_values, dtype=np.float32)
    fitted: Any = SimpleNamespace(preprocessing=Preprocessing(np.arange(n_values), 0 * ones, ones))
    tested = np.flatnonzero(study.truth.speakers < 2)
    windows = study.examples.windows
    plain = judgement.judge(study.recipe, fitted, windows, tested)
    rows = windows.rows(tested, copies=False)
    assert np.array_equal(plain.clip, windows.clip[rows])
    assert np.array_equal(plain.position, rows)
    assert np.array_equal(plain.probabilities, windows.features[rows][:, :3])

    adapted = judgement.judge(study.recipe, fitted, windows, tested, speakers=study.truth.speakers)
    assert np.array_equal(adapted.position, plain.position)
    assert not np.allclose(adapted.probabilities, plain.probabilities)
    features = windows.features.copy()
    features[~np.isin(windows.clip, tested) | (windows.copy > 0)] = 1e6
    elsewhere = judgement.judge(
        study.recipe, fitted, replace(windows, features=features), tested, speakers=study.truth.speakers
    )
    assert np.array_equal(elsewhere.probabilities, adapted.probabilities)


def test_judging_holds_back_what_is_usual_for_the_speaker(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_values = study.recipe.features.n_values
    ones = np.ones(n_values, dtype=np.float32)
    fitted: Any = SimpleNamespace(preprocessing=Preprocessing(np.arange(n_values), 0 * ones, ones))
    tested = np.flatnonzero(study.truth.speakers < 2)
    windows = study.examples.windows
    rows = windows.rows(tested, copies=False)
    clip, speaker = windows.clip[rows], study.truth.speakers[windows.clip[rows]]
    told = np.random.default_rng(3).dirichlet(np.ones(3), len(rows)).astype(np.float32)
    monkeypatch.setattr(judgement, "predict_both", lambda *_: (told, None))
    settings = Speakers(logit_adjustment=1.0)
    recipe = replace(study.recipe, speakers=settings)
    follow = partial(follow_labels, window_s=recipe.window_s, hop_s=recipe.hop_s)

    plain = judgement.judge(recipe, fitted, windows, tested)
    assert np.array_equal(plain.probabilities, follow(told, clip, rows, settings))
    adapted = judgement.judge(recipe, fitted, windows, tested, speakers=study.truth.speakers)
    expected = follow(told, clip, rows, settings, speaker=speaker)
    assert np.array_equal(adapted.probabilities, expected)
    assert not np.allclose(plain.probabilities, told)
    assert not np.allclose(adapted.probabilities, plain.probabilities)


def test_restricted_predictions_have_no_other_class() -> None:
    every = judged([0, 1, 2], [[0.2, 0.2, 0.6], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    found = restrict(every, np.array([True, True, False]))
    # Where both have none, neither is likelier.
    assert found.probabilities == pytest.approx(np.array([[0.5, 0.5, 0], [0, 1, 0], [0.5, 0.5, 0]]))
    assert found.probabilities.dtype == np.float32
    assert np.array_equal(found.clip, every.clip)


def test_parts_are_joined_in_the_order_of_the_windows() -> None:
    first = judged([4, 4], [[1, 0], [2, 0]], [7, 8])
    second = judged([1, 2], [[3, 0], [4, 0]], [2, 3])
    found = join([first, second])
    assert found.position.tolist() == [2, 3, 7, 8]
    assert found.clip.tolist() == [1, 2, 4, 4]
    assert found.probabilities[:, 0].tolist() == [3, 4, 1, 2]
    assert found.intensities is None
    told = [replace(part, intensities=part.probabilities[:, 0] / np.float32(10)) for part in (first, second)]
    strengths = join(told).intensities
    assert strengths is not None
    assert strengths.tolist() == pytest.approx([0.3, 0.4, 0.1, 0.2])
    assert join([told[0], second]).intensities is None


def test_a_strength_is_likely_or_not() -> None:
    plain = judged([4, 4], [[1, 0], [0, 1]])
    assert in_strength(plain) is None
    found = in_strength(replace(plain, intensities=np.array([0.25, 1], dtype=np.float32)))
    assert found is not None
    assert found.probabilities.tolist() == [[0.75, 0.25], [0, 1]]
    assert np.array_equal(found.clip, plain.clip)


def test_a_clip_is_judged_by_its_windows_means_and_missed_where_it_has_none() -> None:
    every = judged([0, 0, 1, 4], [[0.6, 0.4, 0], [0.2, 0.8, 0], [0, 1, 0], [1, 0, 0]])
    found = outcome_of_clips(every, TRUTH, np.array([0, 1, 2, 3]))
    assert found.probabilities == pytest.approx(np.array([[0.4, 0.6, 0], [0, 1, 0]]))
    assert found.truth.tolist() == [0, 1]
    assert found.speaker.tolist() == [0, 0]
    assert found.unheard.tolist() == [2, 1]
    assert found.unheard_speaker.tolist() == [1, 1]


def test_windows_are_judged_smoothed_and_none_is_missed() -> None:
    every = judged([0, 0, 1, 4], [[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]], [0, 1, 5, 6])
    found = outcome_of_windows(every, TRUTH, np.array([0, 1, 2]), Smoothing(alpha=0.5))
    assert found.probabilities.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]]
    assert found.truth.tolist() == [0, 0, 1]
    assert found.speaker.tolist() == [0, 0, 0]
    assert not len(found.unheard)
    assert not len(found.unheard_speaker)


def test_windows_that_do_not_count_still_smooth_those_that_do() -> None:
    every = judged([0, 0, 4], [[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    found = outcome_of_windows(every, TRUTH, np.array([4]), Smoothing(alpha=0.5))
    assert found.probabilities.tolist() == [[1, 0, 0]]
