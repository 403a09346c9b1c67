"""Estimators: what is stored answers as what scikit-learn fitted, and the same fit makes the same bytes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from realtime import estimator
from realtime.errors import SettingsError, TrainingError
from training import estimators
from training.estimators import fit_estimator, make_probe, predict_estimator
from training.recipes.schema import Estimator, Forest, Neighbours, Svm

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from realtime.types import FloatArray

N_LABELS = 6
KINDS = (
    Forest(n_trees=12, max_depth=6),
    Forest(n_trees=7, bootstrap=False, min_leaf=3),
    Neighbours(),
    Neighbours(n_neighbours=7, weights="distance"),
    Svm(),
    Svm(c=3.0, kernel="linear"),
)
ROOT = Path(estimators.__file__).parent.parent


def rows(n: int = 200, seed: int = 1) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return rows of four of six classes, which can be told apart now and then."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 2, 3, 5])[rng.integers(0, 4, n)]
    centres = np.random.default_rng(0).standard_normal((N_LABELS, 15))
    return (0.8 * centres[labels] + rng.standard_normal((n, 15))).astype(np.float32), labels


def fit(kind: Estimator, *, seed: int = 1, weights: npt.NDArray[np.float32] | None = None) -> bytes:
    return fit_estimator(kind, *rows(), N_LABELS, seed=seed, weights=weights)


def unpack(archive: bytes) -> RandomForestClassifier | KNeighborsClassifier | SVC:
    return skops.io.loads(archive, trusted=sorted(set[str]().union(*estimator.TRUSTED_TYPES.values())))


def couple(margins: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Return the probabilities of one row's margins, pair by pair (Price et al., 1994)."""
    against = np.ones((n, n))
    for (i, j), margin in zip(zip(*np.triu_indices(n, 1), strict=True), margins, strict=True):
        against[i, j], against[j, i] = 1 / (1 + np.exp(-2 * margin)), 1 / (1 + np.exp(2 * margin))
    coupled = 1 / ((1 / against).sum(axis=1) - 1 - (n - 2))
    return np.asarray(coupled / coupled.sum())


def reference(archive: bytes, inputs: FloatArray) -> npt.NDArray[np.float64]:
    """Return what scikit-learn's own object makes of the inputs."""
    model = unpack(archive)
    known = np.zeros((len(inputs), len(model.classes_)))
    if isinstance(model, SVC):
        margins = model.set_params(decision_function_shape="ovo").decision_function(inputs)
        if margins.ndim == 1:  # of two classes: the second one's
            margins = -margins[:, np.newaxis]
        known[:] = [couple(row, len(model.classes_)) for row in margins]
    else:
        n = model.n_neighbors if isinstance(model, KNeighborsClassifier) else len(model.estimators_)
        known[:] = (model.predict_proba(inputs) * n + 1) / (n + len(model.classes_))
    probabilities = np.zeros((len(inputs), N_LABELS))
    probabilities[:, model.classes_] = known
    return probabilities


@pytest.mark.parametrize("kind", KINDS)
def test_answers_as_scikit_learn_does(kind: Estimator) -> None:
    archive = fit(kind)
    inputs, labels = rows(100, seed=2)
    found = predict_estimator(archive, inputs)
    assert found.shape == (100, N_LABELS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(archive, inputs), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    # Classes that it has never seen.
    assert (found[:, [1, 4]] == 0).all()
    # It learnt something, and is sure to different degrees.
    assert (found.argmax(axis=1) == labels).mean() > 0.6
    assert len(np.unique(found.max(axis=1).round(3))) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_two_classes(kind: Estimator) -> None:
    inputs, labels = rows()
    two = np.isin(labels, (2, 5))
    archive = fit_estimator(kind, inputs[two], labels[two], N_LABELS, seed=1, weights=None)
    others, truth = rows(100, seed=2)
    two = np.isin(truth, (2, 5))
    found = predict_estimator(archive, others[two])
    np.testing.assert_allclose(found, reference(archive, others[two]), atol=1e-6)
    assert (found.argmax(axis=1) == truth[two]).mean() > 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_are_scikit_learns(kind: Estimator) -> None:
    model = unpack(fit(kind))
    if isinstance(kind, Forest):
        assert (model.n_estimators, model.max_depth) == (kind.n_trees, kind.max_depth)
        assert (model.bootstrap, model.min_samples_leaf) == (kind.bootstrap, kind.min_leaf)
        assert model.n_jobs is None
    elif isinstance(kind, Neighbours):
        assert (model.n_neighbors, model.weights) == (kind.n_neighbours, kind.weights)
    else:
        assert (model.C, model.kernel) == (kind.c, kind.kernel)
        inputs, labels = rows()
        scaled = SVC(C=kind.c, kernel=kind.kernel, gamma="scale").fit(inputs, labels)
        np.testing.assert_allclose(
            model.decision_function(inputs), scaled.decision_function(inputs), rtol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_fit_makes_the_same_bytes(kind: Estimator) -> None:
    first = fit(kind)
    assert fit(kind) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
    is_random = isinstance(kind, Forest)
    assert (fit(kind, seed=2) != first) == is_random


def test_another_process_makes_the_same_bytes() -> None:
    code = (
        "import hashlib, numpy as np; from training.estimators import fit_estimator; "
        "from training.recipes.schema import Forest; "
        "rows = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32); "
        "made = fit_estimator(Forest(n_trees=3), rows, np.arange(60) % 3, 3, seed=1, weights=None); "
        "print(hashlib.sha256(made).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    inputs = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    made = fit_estimator(Forest(n_trees=3), inputs, np.arange(60) % 3, 3, seed=1, weights=None)
    assert there.stdout.strip() == hashlib.sha256(made).hexdigest()


@pytest.mark.parametrize("kind", [Forest(n_trees=30), Svm()])
def test_weights_pull_towards_a_class(kind: Estimator) -> None:
    _, labels = rows()
    inputs, _ = rows(100, seed=2)
    alike = np.ones(len(labels), np.float32)
    light = np.where(labels == 3, 1, 0.02).astype(np.float32)
    plain = predict_estimator(fit(kind, weights=alike), inputs)[:, 3].mean()
    assert predict_estimator(fit(kind, weights=light), inputs)[:, 3].mean() > 1.3 * plain


def test_neighbours_weigh_no_rows() -> None:
    with pytest.raises(SettingsError, match="balance is class-weights, model is knn; wanted balance none"):
        fit(Neighbours(), weights=np.ones(200, np.float32))


def test_rows_that_do_not_suffice() -> None:
    inputs, labels = rows()
    with pytest.raises(TrainingError, match="holds 1 of 6 classes; wanted two or more"):
        fit_estimator(Svm(), inputs, np.full_like(labels, 3), N_LABELS, seed=1, weights=None)
    with pytest.raises(TrainingError, match="n_neighbours is 5; wanted at most 4, the number of rows"):
        fit_estimator(Neighbours(), inputs[:4], np.arange(4), N_LABELS, seed=1, weights=None)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_one_by_one_get_the_same_answers(kind: Estimator) -> None:
    opened = estimator.open_archive(fit(kind), Path("archive"), {})
    assert (opened.n_inputs, opened.n_labels) == (15, N_LABELS)
    inputs, _ = rows(100, seed=2)
    single = np.concatenate([opened.vote(row[np.newaxis]) for row in inputs])
    np.testing.assert_allclose(single, opened.vote(inputs), atol=1e-6)


def test_forests_want_rows_of_their_length() -> None:
    with pytest.raises(ValueError, match=r"rows of shape \(2, 14\); wanted 15 values each"):
        predict_estimator(fit(KINDS[0]), np.zeros((2, 14), np.float32))


def test_a_probe_holds_answers() -> None:
    archive = fit(Svm())
    inputs, _ = rows(100, seed=2)
    probe = make_probe(archive, inputs)
    assert probe.inputs.shape == (16, 15)
    np.testing.assert_array_equal(probe.inputs[[0, -1]], inputs[[0, -1]])
    np.testing.assert_allclose(probe.probabilities, predict_estimator(archive, probe.inputs), atol=1e-7)
    assert make_probe(archive, inputs[:3]).inputs.shape == (3, 15)


def test_every_kind_of_estimator_is_known() -> None:
    assert set(estimators.BUILDERS) == set(Estimator.__args__)
