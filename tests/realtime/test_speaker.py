from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime.speaker import Adaptation, Speaker, Voice, measure_moments

if TYPE_CHECKING:
    from realtime.types import FloatArray

ADAPTATION = Adaptation(prior_s=15.0, memory_s=60.0)


def windows(n: int = 40, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 7, 3)) + 2.0).astype(np.float32)


def test_the_mean_moves_from_the_corpus_to_the_speaker() -> None:
    speaker = Speaker(ADAPTATION)
    some = windows()
    first = speaker.hear(some[0], 3.0)
    # 3 s of the speaker, 15 of the corpus, whose mean is 0.
    assert np.allclose(first, some[0] - some[0].mean(axis=0) * 3 / 18, atol=1e-6)
    second = speaker.hear(some[1], 3.0)
    assert np.allclose(second, some[1] - some[:2].mean(axis=(0, 1)) * 6 / 21, atol=1e-6)


def test_the_mean_is_that_of_all_windows_until_the_memory_is_full() -> None:
    speaker = Speaker(ADAPTATION)
    some = windows(20)
    for window in some[:-1]:
        speaker.hear(window, 3.0)
    last = speaker.hear(some[-1], 3.0)
    assert np.allclose(last, some[-1] - some.mean(axis=(0, 1)) * 60 / 75, atol=1e-5)


def test_another_speaker_is_got_used_to() -> None:
    speaker = Speaker(ADAPTATION)
    for window in windows(200):
        speaker.hear(window, 3.0)
    other = windows(200, seed=1) + np.float32(10)
    before, *_, after = (speaker.hear(window, 3.0).mean() for window in other)
    assert before > 8
    # What is left is the corpus's share.
    assert after == pytest.approx(12 * 15 / 75, abs=0.5)


def test_an_overlap_counts_once() -> None:
    slow, fast = Speaker(ADAPTATION), Speaker(ADAPTATION)
    constant = np.ones((4, 2), dtype=np.float32)
    slow.hear(constant, 3.0)
    fast.hear(constant, 3.0)
    for _ in range(6):
        fast.hear(constant, 0.5)
    assert np.allclose(slow.hear(constant, 3.0), fast.hear(constant, 0.0))


def test_vectors_are_taken_as_frames_are() -> None:
    speaker = Speaker(ADAPTATION)
    assert np.allclose(speaker.hear(np.full(3, 6.0, dtype=np.float32), 3.0), 5.0)


def test_the_deviation_moves_from_the_corpus_to_the_speaker() -> None:
    speaker = Speaker(Adaptation(prior_s=15.0, memory_s=60.0, deviation=True))
    some = windows() * np.float32(3)
    for number, window in enumerate(some, start=1):
        found = speaker.hear(window, 3.0)
        share = min(60.0, 3.0 * number) / (15 + min(60.0, 3.0 * number))
        if number > 20:
            continue
        heard = some[:number]
        mean, variance = heard.mean(axis=(0, 1)), heard.var(axis=(0, 1))
        expected = (window - share * mean) / np.sqrt(share * variance + 1 - share)
        assert np.allclose(found, expected, atol=1e-4)
    assert found.dtype == np.float32


def test_what_never_varies_is_not_blown_up() -> None:
    speaker = Speaker(Adaptation(prior_s=0.001, memory_s=60.0, deviation=True))
    constant = np.full((4, 2), 3.0, dtype=np.float32)
    speaker.hear(constant, 60.0)
    assert np.abs(speaker.hear(constant + np.float32(0.1), 0.0)).max() < 1


def test_reset_forgets_the_speaker() -> None:
    some = windows()
    speaker = Speaker(ADAPTATION)
    first = speaker.hear(some[0], 3.0)
    again = speaker.hear(some[0], 3.0)
    assert not np.array_equal(first, again)
    speaker.reset()
    assert np.array_equal(speaker.hear(some[0], 3.0), first)


def test_who_is_known_needs_no_time() -> None:
    some = windows()
    known, heard = Speaker(ADAPTATION), Speaker(ADAPTATION)
    for window in some[:10]:
        heard.hear(window, 3.0)
    known.know(np.mean([measure_moments(one) for one in some[:10]], axis=0), 30.0)
    assert np.allclose(known.hear(some[10], 3.0), heard.hear(some[10], 3.0), atol=1e-5)


def test_a_voice_is_what_was_heard_and_another_begins_with_it() -> None:
    some = windows()
    assert Speaker(ADAPTATION).voice is None
    first = Speaker(ADAPTATION)
    for window in some[:10]:
        first.hear(window, 3.0)
    voice = first.voice
    assert voice is not None
    assert voice.heard_s == 30.0
    second = Speaker(ADAPTATION, voice)
    expected = first.hear(some[10], 3.0)
    assert np.array_equal(second.hear(some[10], 3.0), expected)
    # What was made of it stays as it is.
    assert np.allclose(voice.moments, np.mean([measure_moments(one) for one in some[:10]], axis=0), atol=1e-5)
    second.reset()
    assert np.array_equal(second.hear(some[10], 3.0), expected)


def test_the_input_stays_as_it_is_and_the_type_too() -> None:
    window = windows(1)[0]
    kept = window.copy()
    assert Speaker(ADAPTATION).hear(window, 3.0).dtype == np.float32
    assert np.array_equal(window, kept)


ADJUSTING = Adaptation(prior_s=15.0, memory_s=60.0, logit_adjustment=1.0, label_prior_s=30.0)
ANGRY = np.asarray([0.7, 0.2, 0.1], dtype=np.float32)


def test_labels_are_left_alone_unless_a_model_says_otherwise() -> None:
    speaker = Speaker(ADAPTATION)
    for _ in range(10):
        assert speaker.adjust(ANGRY, 3.0) is ANGRY


def test_a_label_that_is_usual_is_held_back() -> None:
    speaker = Speaker(ADJUSTING)
    # Nobody was judged before.
    assert np.array_equal(speaker.adjust(ANGRY, 3.0), ANGRY)
    for _ in range(9):
        speaker.adjust(ANGRY, 3.0)
    # 30 s of the speaker, 30 s of all labels alike.
    usual = (ANGRY + np.float32(1 / 3)) / 2
    other = np.asarray([0.45, 0.1, 0.45], dtype=np.float32)
    found = speaker.adjust(other, 3.0)
    assert np.allclose(found, other / usual / (other / usual).sum(), atol=1e-6)
    assert found.argmax() == 2
    assert found.dtype == np.float32


def test_how_far_a_usual_label_is_held_back_is_the_models_to_say() -> None:
    half = Speaker(Adaptation(prior_s=15.0, memory_s=60.0, logit_adjustment=0.5, label_prior_s=30.0))
    half.know_labels(ANGRY, 30.0)
    weights = ((ANGRY + np.float32(1 / 3)) / 2) ** -0.5
    assert np.allclose(half.adjust(ANGRY, 3.0), ANGRY * weights / (ANGRY * weights).sum(), atol=1e-6)


def test_a_label_is_not_overturned_while_probabilities_stay() -> None:
    speaker = Speaker(ADJUSTING)
    for _ in range(500):
        found = speaker.adjust(np.asarray([0.36, 0.33, 0.31], dtype=np.float32), 0.5)
        assert found.argmax() == 0


def test_a_usual_label_that_is_less_sure_than_usual_is_overturned() -> None:
    speaker = Speaker(ADJUSTING)
    for _ in range(120):
        speaker.adjust(np.asarray([0.9, 0.05, 0.05], dtype=np.float32), 0.5)
    assert speaker.adjust(np.asarray([0.5, 0.4, 0.1], dtype=np.float32), 0.5).argmax() == 1


def test_what_is_usual_fades() -> None:
    speaker = Speaker(ADJUSTING)
    speaker.know_labels(ANGRY, 1000.0)
    calm = np.asarray([0.1, 0.2, 0.7], dtype=np.float32)
    before, *_, after = (speaker.adjust(calm, 3.0)[2] for _ in range(200))
    other = Speaker(ADJUSTING)
    other.know_labels(calm, 1000.0)
    assert before > after == pytest.approx(other.adjust(calm, 3.0)[2], abs=1e-3)


def test_who_is_forgotten_has_no_usual_labels() -> None:
    speaker = Speaker(ADJUSTING)
    for _ in range(10):
        speaker.adjust(ANGRY, 3.0)
    speaker.reset()
    assert np.array_equal(speaker.adjust(ANGRY, 3.0), ANGRY)


def test_a_voice_brings_its_usual_labels() -> None:
    first = Speaker(ADJUSTING)
    for window in windows(10):
        first.hear(window, 3.0)
        first.adjust(ANGRY, 3.0)
    voice = first.voice
    assert isinstance(voice, Voice)
    other = np.asarray([0.45, 0.1, 0.45], dtype=np.float32)
    second = Speaker(ADJUSTING, voice)
    for _ in range(2):
        assert np.array_equal(second.adjust(other, 3.0), first.adjust(other, 3.0))
    second.reset()
    assert np.array_equal(second.adjust(other, 3.0), Speaker(ADJUSTING, voice).adjust(other, 3.0))
