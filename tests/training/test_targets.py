from __future__ import annotations

import numpy as np

from training.targets import draw_known, make_targets

KNOWN = np.asarray([[True, True, True, True], [True, False, True, True]])
LABELS = np.asarray([3, 0])
TOLD = np.asarray([1.0, np.nan], dtype=np.float32)
WEIGHTS = np.asarray([1.0, 0.5], dtype=np.float32)


def test_targets_hold_labels_what_is_known_intensity_and_weight() -> None:
    found = make_targets(LABELS, KNOWN, TOLD, WEIGHTS, 0.1)
    assert found.dtype == np.float32
    assert np.allclose(found[0], [0.025, 0.025, 0.025, 0.925, 1, 1, 1, 1, 1, 1, 1.0])
    # What the corpus does not have gets nothing of what is spread.
    assert np.allclose(found[1], [0.9 + 0.1 / 3, 0, 0.1 / 3, 0.1 / 3, 1, 0, 1, 1, 0, 0, 0.5])


def test_rows_keep_their_own_label_and_half_of_the_others() -> None:
    labels = np.arange(20_000) % 4
    known = np.tile(KNOWN, (10_000, 1))
    known[np.arange(20_000), labels] = True
    given = known.copy()
    found = draw_known(labels, known, 0.5, np.random.default_rng(0))
    assert np.array_equal(known, given)
    assert found[np.arange(20_000), labels].all()
    assert not (found & ~known).any()
    # Each other label is lost by half of half of the rows.
    others = known.copy()
    others[np.arange(20_000), labels] = False
    assert abs(found[others].mean() - 0.75) < 0.01
    assert (found == known).all(axis=1).mean() > 0.5


def test_who_loses_none_is_as_known_as_before() -> None:
    assert np.array_equal(draw_known(LABELS, KNOWN, 0.0, np.random.default_rng(0)), KNOWN)
    always = [draw_known(LABELS, KNOWN, 1.0, np.random.default_rng(seed)) for seed in range(8)]
    assert len({each.tobytes() for each in always}) > 4
