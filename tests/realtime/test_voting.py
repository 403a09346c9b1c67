"""Votes to probabilities, against the plainest way to work them out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from realtime.voting import Margins, Neighbours

CLASSES = np.array([0, 2, 3])
N_LABELS = 5


def stored(
    n: int = 300, n_inputs: int = 20, seed: int = 1
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n_inputs)).astype(np.float32), rng.integers(0, len(CLASSES), n)


def neighbours(n_neighbours: int, *, by_distance: bool = False, n: int = 300) -> Neighbours:
    rows, labels = stored(n)
    squares = np.square(rows).sum(axis=1)
    return Neighbours(rows, squares, labels, n_neighbours, by_distance, CLASSES, N_LABELS)


def by_hand(model: Neighbours, row: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    distance = np.sqrt(((model.stored.astype(np.float64) - row) ** 2).sum(axis=1))
    near = np.argsort(distance, kind="stable")[: model.n_neighbours]
    votes = np.zeros(len(CLASSES))
    for place in near:
        votes[model.labels[place]] += 1 / distance[place] if model.by_distance else 1
    votes *= model.n_neighbours / votes.sum()
    probabilities = np.zeros(N_LABELS)
    probabilities[CLASSES] = (votes + 1) / (model.n_neighbours + len(CLASSES))
    return probabilities


@pytest.mark.parametrize("by_distance", [False, True])
@pytest.mark.parametrize("n_neighbours", [1, 5, 300])
def test_neighbours(n_neighbours: int, *, by_distance: bool) -> None:
    model = neighbours(n_neighbours, by_distance=by_distance)
    # More rows than are judged at a time.
    rows, _ = stored(700, seed=2)
    found = model(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [by_hand(model, row) for row in rows], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found[:, [1, 4]] == 0).all()
    # However rows come, the answers are the same.
    np.testing.assert_array_equal(np.concatenate([model(row[np.newaxis]) for row in rows]), found)


def test_a_row_that_is_stored_outvotes_all_others() -> None:
    model = neighbours(3, by_distance=True)
    found = model(model.stored)
    np.testing.assert_array_equal(CLASSES[model.labels], found.argmax(axis=1))
    np.testing.assert_allclose(found.max(axis=1), 4 / 6, atol=1e-6)


def test_rounding_does_not_choose_neighbours() -> None:
    # Far from the origin, |b|² - 2ab is lost in single precision; the spare neighbours make up for it.
    rows, _ = stored(100)
    rows += np.float32(300)
    both = np.concatenate((rows + np.float32(0.05), rows + np.float32(0.02)))
    labels = np.repeat([0, 1], len(rows))
    model = Neighbours(both, np.square(both).sum(axis=1), labels, 1, False, np.array([0, 1]), 2)
    assert (model(rows).argmax(axis=1) == 1).all()


def test_no_rows() -> None:
    assert neighbours(3)(np.zeros((0, 20), np.float32)).shape == (0, N_LABELS)
    assert margins(np.zeros((2, 3)))(np.zeros((0, 2), np.float32)).shape == (0, N_LABELS)


def margins(coefficients: npt.NDArray[np.float64]) -> Margins:
    """Return a linear machine on two inputs, so that margins are what a row is multiplied with."""
    return Margins(np.eye(2), np.ones(2), coefficients, np.array([0.5, 0.0, -0.2]), None, CLASSES, N_LABELS)


def test_margins_are_coupled() -> None:
    model = margins(np.array([[1.0, 0.3, -2.0], [0.2, -0.5, 1.0]]))
    rows = np.random.default_rng(3).standard_normal((40, 2)).astype(np.float32)
    for row, found in zip(rows, model(rows), strict=True):
        f01, f02, f12 = row @ model.coefficients + model.intercepts
        # Price et al., 1994, word for word.
        against = {
            pair: 1 / (1 + np.exp(-2 * f)) for pair, f in {(0, 1): f01, (0, 2): f02, (1, 2): f12}.items()
        }
        against |= {(j, i): 1 - p for (i, j), p in against.items()}
        wanted = np.array([1 / (sum(1 / against[i, j] for j in range(3) if j != i) - 1) for i in range(3)])
        np.testing.assert_allclose(found[CLASSES], wanted / wanted.sum(), rtol=1e-5)
        assert found[1] == found[4] == 0


def test_far_margins_stay_numbers() -> None:
    model = margins(np.array([[1e6, 1e6, 1e6], [1e6, 1e6, 1e6]]))
    found = model(np.array([[1, 1], [-1, -1]], np.float32))
    assert found[0, 0] == pytest.approx(1)
    assert found[1, 3] == pytest.approx(1)
