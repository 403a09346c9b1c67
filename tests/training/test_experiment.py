from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime import artifact
from realtime.classifier import Classifier
from training import experiment
from training.corpora import read_ravdess

if TYPE_CHECKING:
    from pathlib import Path

    from realtime.artifact import Card
    from training.corpora import Corpus
    from training.fit import Epoch, Fitted
    from training.recipes import Recipe

NAMES = ["random", "speaker-1", "speaker-2", "speaker-3", "shipped"]


class Notes:
    """A watcher that remembers, and interrupts where it is asked to."""

    def __init__(self, interrupt_at: str = "") -> None:
        self.warnings: list[str] = []
        self.n_clips = self.n_extracted = 0
        self.names: list[str] = []
        self.kept: list[bool] = []
        self.epochs: list[Epoch] = []
        self.interrupt_at = interrupt_at

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def extract(self, n_clips: int) -> None:
        self.n_clips = n_clips

    def extracted(self, n_clips: int) -> None:
        self.n_extracted += n_clips

    def train(self, name: str, number: int, n_total: int, n_epochs: int) -> None:
        assert number <= n_total
        assert n_epochs > 0
        if name == self.interrupt_at:
            raise KeyboardInterrupt
        self.names.append(name)

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def trained(self, fitted: Fitted, *, kept: bool) -> None:
        assert fitted.weights
        self.kept.append(kept)


def run(
    recipe: Recipe,
    corpus: Corpus,
    out: Path,
    cache: Path,
    watcher: Notes,
    *,
    seed: int = 5,
    fresh: bool = False,
) -> Card:
    return experiment.run(
        recipe,
        corpus,
        out,
        seed=seed,
        cache=cache,
        quantisation="float32",
        n_jobs=1,
        fresh=fresh,
        watcher=watcher,
    )


@pytest.mark.slow
def test_a_fit_makes_a_model_that_runs_and_the_same_again(
    quick: Recipe, corpus: Corpus, tmp_path: Path
) -> None:
    notes = Notes()
    card = run(quick, corpus, tmp_path / "tiny", tmp_path / "cache", notes)

    model = artifact.read(tmp_path / "tiny")
    assert model.card == card
    assert (card.name, card.training.recipe, card.training.corpora) == ("tiny", "tiny", ["RAVDESS"])
    assert "CC BY-NC-SA 4.0" in card.training.licence
    assert card.training.command == "tonewatch-train fit tiny --out models/tiny --seed 5 --quantise float32"
    assert 0 <= card.training.parity <= 1e-4
    assert card.training.n_clips == 30
    assert (card.n_features, card.n_selected) == (44, 20)
    assert set(card.scores) == {"random", "speaker"}
    assert card.scores["speaker"]["clips"]["all"].n == 45
    assert "ravdess-05, ravdess-06" in card.scores_note
    assert str(tmp_path) not in (tmp_path / "tiny" / "card.json").read_text()
    probabilities = Classifier(model).predict(np.zeros(44, dtype=np.float32))
    assert probabilities.sum() == pytest.approx(1)

    # Angry clips are no part of this recipe.
    assert notes.n_clips == notes.n_extracted == 45
    assert notes.names == NAMES
    assert notes.kept == [False] * 5
    assert len(notes.epochs) == 10

    run(quick, corpus, tmp_path / "again" / "tiny", tmp_path / "other cache", Notes())
    for name in (artifact.MODEL_FILE, artifact.PREPROCESS_FILE, artifact.CARD_FILE):
        assert (tmp_path / "tiny" / name).read_bytes() == (tmp_path / "again" / "tiny" / name).read_bytes(), (
            name
        )


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_from_there(quick: Recipe, corpus: Corpus, tmp_path: Path) -> None:
    out, cache = tmp_path / "tiny", tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        run(quick, corpus, out, cache, Notes(interrupt_at="speaker-2"))
    assert not out.exists()
    notes = Notes()
    card = run(quick, corpus, out, cache, notes)
    assert notes.kept == [True, True, False, False, False]

    done = Notes()
    assert run(quick, corpus, out, cache, done) == card
    assert done.kept == [True] * 5
    assert not done.epochs

    # Another seed is another fit, and --fresh trains what is kept.
    for other in (Notes(interrupt_at="speaker-1"), Notes(interrupt_at="speaker-1")):
        with pytest.raises(KeyboardInterrupt):
            run(quick, corpus, out, cache, other, seed=6, fresh=True)
        assert other.kept == [False]


@pytest.mark.slow
def test_what_is_left_out_is_told(quick: Recipe, corpus_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(corpus_folder, tmp_path / "corpus")
    (folder / "hello.wav").touch()
    (folder / "03-01-01-01-01-03-01.wav").write_text("no audio")
    notes = Notes(interrupt_at="random")
    with pytest.raises(KeyboardInterrupt):
        run(quick, read_ravdess(folder), tmp_path / "tiny", tmp_path / "cache", notes)
    assert len(notes.warnings) == 2
    assert "hello.wav" in notes.warnings[0]
    assert "03-01-01-01-01-03-01.wav" in notes.warnings[1]
