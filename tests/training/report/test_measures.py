from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import expected_calibration_error
from training.report import Judged, measures

if TYPE_CHECKING:
    from training.report import ReportData


def test_scores_of_classes_are_scikit_learns(made_up: ReportData) -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    truth, predicted = made_up.judged.truth, made_up.judged.probabilities.argmax(axis=1)
    counts = measures.confusion(made_up.judged, len(made_up.labels))
    np.testing.assert_array_equal(counts, confusion_matrix(truth, predicted))
    wanted = np.stack(precision_recall_fscore_support(truth, predicted), axis=1)
    found = [(s.precision, s.recall, s.f1, s.n_true) for s in measures.score_classes(counts, made_up.labels)]
    np.testing.assert_allclose(found, wanted)


def test_what_never_occurs_has_no_scores() -> None:
    counts = np.asarray([[2, 0, 0], [1, 0, 0], [0, 0, 0]])
    _, missed, absent = measures.score_classes(counts, ("neutral", "calm", "happy"))
    assert np.isnan(missed.precision)
    assert (missed.recall, missed.f1) == (0, 0)
    assert np.isnan([absent.precision, absent.recall, absent.f1]).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_calibration_is_the_cards(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(4, 0.5), n).astype(np.float32)
    judged = Judged(rng.choice(4, n), probabilities)
    found = measures.calibrate(judged)
    assert found.ece == pytest.approx(expected_calibration_error(probabilities, judged.truth))
    assert found.n.sum() == n
    some = found.n > 0
    assert np.isnan(found.accuracy[~some]).all()
    assert (found.accuracy[some] * found.n[some]).sum() / n == pytest.approx(found.mean_accuracy)
    edges = np.arange(10) / 10
    assert (found.confidence[some] >= edges[some] - 1e-6).all()
    assert (found.confidence[some] <= edges[some] + 0.1 + 1e-6).all()


def test_separation_is_the_share_of_variance_between_classes() -> None:
    label = np.repeat([0, 1], 50)
    rng = np.random.default_rng(1)
    apart = label.astype(np.float64)
    half = label + rng.permutation(np.repeat([-0.5, 0.5], 50))
    inputs = np.stack([apart, rng.normal(size=100), np.ones(100), half], axis=1)
    found = measures.separations(inputs, label)
    assert found[0] == pytest.approx(1)
    assert found[1] < 0.1
    assert found[2] == 0
    assert 0.3 < found[3] < 0.7


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("mfcc_07.mean", "mfcc"),
        ("mfcc_delta2_31.std@voiced", "mfcc_delta2"),
        ("mel_100", "mel"),
        ("pitch_f0.p90", "pitch_f0"),
        ("rms", "rms"),
    ],
)
def test_tells_the_family_of_a_feature(name: str, family: str) -> None:
    assert measures.family_of(name) == family


def test_sums_families() -> None:
    sums = measures.sum_families(("mfcc_0.mean", "rms.mean", "mfcc_1.std"), np.asarray([0.25, 0.125, 0.5]))
    assert [(s.family, s.n, s.importance) for s in sums] == [("mfcc", 2, 0.75), ("rms", 1, 0.125)]
