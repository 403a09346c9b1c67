"""Made-up corpora: synthetic voices under RAVDESS's and nEMO's names, and small recipes that learn them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import pytest
import soundfile

from training import study as studies
from training.corpora import open_corpora
from training.corpora.survey import survey
from training.recipes import Recipe, parse_recipe
from training.recipes.schema import Dense, Ensemble, Layer
from training.workers import Workers

if TYPE_CHECKING:
    import numpy.typing as npt

    from training.corpora import Corpus
    from training.study import Study

RATE = 16_000
FOLDS = [[1, 2], [3, 4], [5, 6]]
OTHER_SPEAKERS = ("AB0", "CD0", "EF0")
OTHER_EMOTIONS = {"neutral": 1, "happiness": 3, "anger": 5}
"""Of the other corpus, which knows no calm voice."""

FEATURES: dict[str, Any] = {
    "families": [
        {"kind": "mfcc", "n": 8, "n_mels": 24, "pool": ["mean", "std"]},
        {"kind": "mel", "n": 12, "pool": ["mean", "std"]},
        {"kind": "zcr", "pool": ["mean", "std"]},
        {"kind": "rms", "pool": ["mean", "std"]},
    ]
}
TINY: dict[str, Any] = {
    "description": "for tests",
    # Two of them are among the four that corpora share; the other corpus has no calm one.
    "labels": ["neutral", "calm", "happy"],
    "window_s": 1.0,
    "hop_s": 0.5,
    "balance": "oversample",
    "features": FEATURES,
    "selection": {"method": "forest", "n_features": 20, "n_trees": 10, "share": 0.8},
    "augmentation": {
        "n_copies": 1,
        "steps": [
            {"kind": "gain", "gain_db": [-1.0, 1.0]},
            {"kind": "silence", "before_s": [0.0, 0.5]},
        ],
        "inputs": {"noise": 0.1},
    },
    "model": {
        "kind": "dense",
        "layers": [{"units": 16}, {"units": 12, "batch_norm": True, "dropout": 0.1}],
    },
    "fitting": {
        "batch_size": 16,
        "n_epochs": 6,
        "learning_rate": 0.01,
        "label_smoothing": 0.05,
        "patience": 4,
    },
}


class Notes:
    """A watcher that remembers, and interrupts at a stage where it is asked to."""

    def __init__(self, interrupt_at: str = "") -> None:
        self.interrupt_at = interrupt_at
        self.warnings: list[str] = []
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.n_done: dict[str, int] = {}

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def begin(self, title: str, n_steps: int) -> None:
        assert n_steps >= 0
        self.stages.append(title)
        self.n_done[title] = 0

    def advance(self, n_steps: int = 1, note: str = "") -> None:
        self.n_done[self.stages[-1]] += n_steps
        self.notes.append(note)
        if self.interrupt_at and self.interrupt_at in (self.stages[-1], note):
            raise KeyboardInterrupt

    def end(self, note: str = "") -> None:
        self.notes.append(note)


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


def write_other_corpus(folder: Path) -> Path:
    """Write three speakers of another corpus, three emotions, each spoken twice."""
    for number, speaker in enumerate(OTHER_SPEAKERS):
        for name, emotion in OTHER_EMOTIONS.items():
            for sentence in (1, 2):
                path = folder / speaker / f"{speaker}_{name}_{sentence}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                seed = 1000 + 100 * number + 10 * emotion + sentence
                soundfile.write(path, voice(emotion, 7 + number, seed), RATE)
    return folder


def gather(recipe: Recipe, corpus: Corpus, cache: Path) -> Study:
    """Survey a corpus and gather what a recipe is trained on."""
    usable = survey(corpus, cache=cache, workers=Workers())
    assert not usable.left_out
    digests = [facts.file_sha256 for facts in usable.facts]
    return studies.gather(recipe, usable.corpus, digests, cache=cache, workers=Workers(), watcher=Notes())


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_other_corpus(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="session")
def corpus(corpus_folder: Path) -> Corpus:
    return open_corpora([str(corpus_folder)])


@pytest.fixture(scope="session")
def both(corpus_folder: Path, other_folder: Path) -> Corpus:
    """Both corpora as one."""
    return open_corpora([str(corpus_folder), str(other_folder)])


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Three of the emotions, few features, a network of a few hundred weights."""
    return parse_recipe("tiny", TINY)


@pytest.fixture(scope="session")
def forest() -> Recipe:
    """The same with a small forest and no copies."""
    plain = {key: TINY[key] for key in ("description", "labels", "window_s", "hop_s", "balance", "features")}
    model = {"kind": "random-forest", "n_trees": 12, "max_depth": 6}
    return parse_recipe("tiny-forest", {**plain, "model": model, "fitting": {"refit": True}})


@pytest.fixture(scope="session")
def quick(recipe: Recipe) -> Recipe:
    """The small recipe, of two epochs."""
    return replace(recipe, fitting=msgspec.structs.replace(recipe.fitting, n_epochs=2))


@pytest.fixture(scope="session")
def often(quick: Recipe) -> Recipe:
    """Two members, each trained three times, without anything that chance has a part in beside."""
    members = (Dense(layers=(Layer(units=4),)), Dense(layers=()))
    return replace(
        quick,
        selection=msgspec.structs.replace(quick.selection, method="none", n_features=0),
        balance="class-weights",
        model=Ensemble(members=members * 3, trainings=3),
    )


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what tests may share: features, and models that nobody counts."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def study(recipe: Recipe, corpus: Corpus, cache: Path) -> Study:
    return gather(recipe, corpus, cache)


@pytest.fixture(scope="session")
def both_study(quick: Recipe, both: Corpus, cache: Path) -> Study:
    """Of both corpora, with the recipe of two epochs."""
    return gather(quick, both, cache)


@pytest.fixture(scope="session")
def both_forest(forest: Recipe, both: Corpus, cache: Path) -> Study:
    return gather(forest, both, cache)


@pytest.fixture
def watcher() -> Notes:
    return Notes()


class Gather(Protocol):
    """`gather`, as tests get it."""

    def __call__(self, recipe: Recipe, corpus: Corpus, cache: Path) -> Study: ...


@pytest.fixture(scope="session")
def gather_study() -> Gather:
    return gather
