"""How estimators judge: forests, nearest neighbours and support vectors, from arrays to probabilities.

Scikit-learn fits and stores them; here they are run. Its own `predict_proba` is made for many rows: for the
one row of a window, its checks and thread pools take longer than the arithmetic, up to a hundred times.

Shares of votes are taken by Laplace's rule of succession: each class that the estimator knows has one vote
more than it got. No vote then means "rare", not "impossible", which no temperature mends; the likeliest class
stays the likeliest. Classes that the estimator has never seen get 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime.types import FloatArray

IntArray: TypeAlias = npt.NDArray[np.int64]
DoubleArray: TypeAlias = npt.NDArray[np.float64]

_N_ROWS = 512
"""Rows that are judged at a time: more take more memory, and no less time."""
_N_SPARE = 8
"""Neighbours that are looked at beyond those wanted: the first search rounds to single precision."""


class Voter(Protocol):
    """Judges rows."""

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return the probabilities [shape=(n, n_labels), dtype=float32] of rows [shape=(n, n_inputs)]."""
        ...


@dataclass(frozen=True, slots=True)
class Forest:
    """Decision trees that vote with their leaves' shares of classes.

    Parameters
    ----------
    trees
        Scikit-learn's, by their inner `Tree`, whose nodes were checked: `predict` follows them unchecked.
    n_inputs
        Length of a row.
    classes : np.ndarray [shape=(n_classes,), dtype=int64]
        The labels that they know, by number.
    n_labels
        Number of labels in all.

    References
    ----------
    Breiman, "Random forests", 2001.
    """

    trees: tuple[Any, ...]
    n_inputs: int
    classes: IntArray
    n_labels: int

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return the probabilities [shape=(n, n_labels), dtype=float32] of rows [shape=(n, n_inputs)]."""
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        if rows.shape != (len(rows), self.n_inputs):
            raise ValueError(f"rows of shape {rows.shape}; wanted {self.n_inputs} values each")
        votes = np.zeros((len(rows), len(self.classes)))
        for tree in self.trees:
            votes += tree.predict(rows)
        return _succession(votes, len(self.trees), self.classes, self.n_labels)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest training rows vote, alike or by the inverse of their distance.

    Parameters
    ----------
    stored : np.ndarray [shape=(n_stored, n_inputs), dtype=float32]
        Training rows.
    squares : np.ndarray [shape=(n_stored,), dtype=float32]
        Their squared lengths.
    labels : np.ndarray [shape=(n_stored,), dtype=int64]
        Their classes, by place among `classes`.
    n_neighbours
        How many vote.
    by_distance
        Whether nearer ones weigh more.
    classes : np.ndarray [shape=(n_classes,), dtype=int64]
        The labels that there are among them, by number.
    n_labels
        Number of labels in all.

    References
    ----------
    Cover & Hart, "Nearest neighbor pattern classification", 1967; Dudani, "The distance-weighted
    k-nearest-neighbor rule", 1976.
    """

    stored: FloatArray
    squares: FloatArray
    labels: IntArray
    n_neighbours: int
    by_distance: bool
    classes: IntArray
    n_labels: int

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return the probabilities [shape=(n, n_labels), dtype=float32] of rows [shape=(n, n_inputs)]."""
        parts = [self._vote(part) for part in _in_parts(rows)]
        votes = np.concatenate(parts) if parts else np.zeros((0, len(self.classes)))
        return _succession(votes, self.n_neighbours, self.classes, self.n_labels)

    def _vote(self, rows: FloatArray) -> DoubleArray:
        near, distance = self._nearest(rows)
        weights = np.ones_like(distance)
        if self.by_distance:
            # A training row itself outvotes all that are not the same.
            same = distance == 0
            weights = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1, distance))
        weights *= self.n_neighbours / weights.sum(axis=1, keepdims=True)
        votes = np.zeros((len(rows), len(self.classes)))
        np.add.at(votes, (np.arange(len(rows))[:, np.newaxis], self.labels[near]), weights)
        return votes

    def _nearest(self, rows: FloatArray) -> tuple[IntArray, DoubleArray]:
        """Return the places of the nearest stored rows and their distances [shape=(n, n_neighbours)]."""
        n_near = min(self.n_neighbours + _N_SPARE, len(self.stored))
        # |a - b|² is |b|² - 2ab but for |a|²: quick, and rounded where rows nearly agree. Few are left, whose
        # distance is then taken exactly; of equal ones the first counts.
        rough = self.squares - 2 * (rows @ self.stored.T)
        near = np.sort(np.argpartition(rough, n_near - 1, axis=1)[:, :n_near], axis=1)
        steps = self.stored[near].astype(np.float64) - rows[:, np.newaxis]
        distance = np.sqrt(np.square(steps).sum(axis=-1))
        best = np.argsort(distance, axis=1, kind="stable")[:, : self.n_neighbours]
        return np.take_along_axis(near, best, axis=1), np.take_along_axis(distance, best, axis=1)


@dataclass(frozen=True, slots=True)
class Margins:
    """A support vector machine for each pair of classes; what they say is coupled to probabilities.

    Parameters
    ----------
    vectors : np.ndarray [shape=(n_vectors, n_inputs), dtype=float64]
        Support vectors.
    squares : np.ndarray [shape=(n_vectors,), dtype=float64]
        Their squared lengths.
    coefficients : np.ndarray [shape=(n_vectors, n_pairs), dtype=float64]
        What each contributes to each pair of classes: 01, 02, ..., 12, ...
    intercepts : np.ndarray [shape=(n_pairs,), dtype=float64]
        Of each pair.
    gamma
        Of the radial kernel; None for the linear one.
    classes : np.ndarray [shape=(n_classes,), dtype=int64]
        The labels that they know, by number.
    n_labels
        Number of labels in all.

    Notes
    -----
    A margin f of class i over class j is taken as odds of exp(2f): at the margin of 1, where training stops
    to push, i has 88%. One slope serves all pairs; the artifact's temperature, fitted to speakers that were
    not trained on, sets it right. Platt's sigmoids, fitted pair by pair, would need folds of the training
    part, which share its speakers; tempered alike, they were no better calibrated on strangers. Where two
    classes are close, the likeliest may differ from the one that wins the most pairs.

    References
    ----------
    Price, Knerr, Personnaz & Dreyfus, "Pairwise neural network classifiers with probabilistic outputs", 1994:
    1 / p_i = sum over j of 1 / r_ij - (n_classes - 2), r_ij the probability of i against j.
    """

    vectors: DoubleArray
    squares: DoubleArray
    coefficients: DoubleArray
    intercepts: DoubleArray
    gamma: float | None
    classes: IntArray
    n_labels: int

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return the probabilities [shape=(n, n_labels), dtype=float32] of rows [shape=(n, n_inputs)]."""
        parts = [self._couple(self._margins(part)) for part in _in_parts(rows)]
        coupled = np.concatenate(parts) if parts else np.zeros((0, len(self.classes)))
        return _spread(coupled, self.classes, self.n_labels)

    def _margins(self, rows: FloatArray) -> DoubleArray:
        """Return how far each row lies on the first class's side, by pair [shape=(n, n_pairs)]."""
        kernel = rows.astype(np.float64) @ self.vectors.T
        if self.gamma is not None:
            lengths = np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True)
            distance = np.maximum(self.squares + lengths - 2 * kernel, 0)
            kernel = np.exp(-self.gamma * distance)
        return np.asarray(kernel @ self.coefficients + self.intercepts)

    def _couple(self, margins: DoubleArray) -> DoubleArray:
        # 1 / r_ij is 1 + exp(-2f), so that 1 / p_i is 1 + the sum of all exp(-2f).
        against = np.exp(np.clip(-2 * margins, -40, 40))
        n = len(self.classes)
        first, second = np.triu_indices(n, 1)
        inverse = 1 + against @ np.eye(n)[first] + (1 / against) @ np.eye(n)[second]
        return np.asarray((1 / inverse) / (1 / inverse).sum(axis=1, keepdims=True))


def _in_parts(rows: FloatArray) -> Iterator[FloatArray]:
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    return (rows[start : start + _N_ROWS] for start in range(0, len(rows), _N_ROWS))


def _succession(votes: DoubleArray, n: int, classes: IntArray, n_labels: int) -> FloatArray:
    """Return the probabilities that `n` votes for each row give, each known class having one more."""
    return _spread((votes + 1) / (n + len(classes)), classes, n_labels)


def _spread(known: DoubleArray, classes: IntArray, n_labels: int) -> FloatArray:
    """Return probabilities of all labels, of those of the known ones."""
    spread = np.zeros((len(known), n_labels), dtype=np.float32)
    spread[:, classes] = known
    return spread
