"""A made-up corpus: synthetic voices under RAVDESS's names, and a small recipe that learns them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime.features import FeatureSpec, Mel, Mfcc, Rms, ZeroCrossingRate
from realtime.types import Smoothing
from training import corpora, dataset
from training.recipes import Copies, Fitting, Layer, Recipe, Selection

if TYPE_CHECKING:
    import numpy.typing as npt

    from training.corpora import Corpus
    from training.dataset import Extraction

RATE = 16_000
FOLDS = [[1, 2], [3, 4], [5, 6]]


def voice(emotion: int, actor: int, seed: int, seconds: float = 1.4) -> npt.NDArray[np.float32]:
    """Make a voice whose pitch tells the actor, and whose brightness and pace tell the emotion."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    f0 = 110 + 12 * actor + 4 * np.sin(2 * np.pi * 2 * time + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    formant = 400 + 450 * emotion
    signal = np.zeros_like(time)
    for harmonic in range(1, 25):
        gain = np.exp(-(((harmonic * f0.mean() - formant) / 400) ** 2)) + 0.05
        signal += gain * np.sin(harmonic * phase + rng.uniform(0, 6))
    syllables = np.clip(np.sin(2 * np.pi * (2 + emotion) * time + rng.uniform(0, 6)) + 0.8, 0, 1)
    noise = 0.0003 * rng.standard_normal(len(time))
    return np.asarray(0.05 * signal * syllables + noise, dtype=np.float32)


def write_corpus(folder: Path) -> Path:
    """Write six actors, four emotions, twice spoken, and once sung by three of them."""
    seed = 0
    for actor in range(1, 7):
        for emotion in range(1, 5):
            for channel, repetition in ((1, 1), (1, 2), *(((2, 1),) if actor % 2 else ())):
                seed += 1
                name = f"03-{channel:02d}-{emotion:02d}-01-01-{repetition:02d}-{actor:02d}.flac"
                path = folder / ("speech", "song")[channel - 1] / f"Actor_{actor:02d}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, voice(emotion, actor, seed), RATE)
    (folder / "folds.json").write_text(json.dumps({"test_actors": FOLDS}))
    return folder


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="session")
def corpus(corpus_folder: Path) -> Corpus:
    return corpora.read_ravdess(corpus_folder)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Three of the four emotions, few features, a network of a few hundred weights."""
    pool = ("mean", "std")
    return Recipe(
        name="tiny",
        description="for tests",
        labels=("neutral", "calm", "happy"),
        features=FeatureSpec(
            families=(
                Mfcc(n=8, n_mels=24, pool=pool),
                Mel(n=12, pool=pool),
                ZeroCrossingRate(pool=pool),
                Rms(pool=pool),
            )
        ),
        window=16_000,
        hop=8_000,
        copies=Copies(n=1, lead_in_s=0.5, gain_db=1.0, speed=0.05),
        selection=Selection(n_features=20, n_trees=10, share=0.8),
        balance="oversample",
        layers=(Layer(units=16), Layer(units=12, batch_norm=True, dropout=0.1)),
        fitting=Fitting(
            batch_size=16, n_epochs=6, learning_rate=0.01, label_smoothing=0.05, input_noise=0.1, patience=4
        ),
        smoothing=Smoothing(),
    )


@pytest.fixture(scope="session")
def extraction(recipe: Recipe, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    clips = [clip for clip in corpus.clips if clip.label in recipe.labels]
    return dataset.extract(recipe, clips, seed=1, cache=tmp_path_factory.mktemp("cache"), n_jobs=1)


@pytest.fixture
def quick(recipe: Recipe) -> Recipe:
    """The small recipe, of two epochs."""
    return replace(recipe, fitting=replace(recipe.fitting, n_epochs=2))
