"""Made-up report data, of the shapes and sizes of a real fit, but of chance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

from realtime.artifact import Card, Scores, Training
from realtime.features import Chroma, Delta, FeatureSpec, Mel, Mfcc, Rms, ZeroCrossingRate
from realtime.types import LABELS
from training.epochs import Epoch
from training.report import ClassIntervals, Clips, Embedding, Features, Judged, ReportData, Setting

if TYPE_CHECKING:
    import numpy.typing as npt

POOL = ("mean", "std")
SPEC = FeatureSpec(
    families=(
        Mfcc(n=20, n_mels=40, pool=POOL),
        Delta(n=20, pool=POOL),
        Chroma(n=12, pool=POOL),
        Mel(n=30, pool=POOL),
        ZeroCrossingRate(pool=POOL),
        Rms(pool=POOL),
    )
)
SIMILAR = {"calm": "neutral", "sad": "calm", "fearful": "sad", "surprised": "happy"}
"""Classes whose made-up vectors lie close to others'."""


class MakeData(Protocol):
    """Makes report data with so many classes, clips and points."""

    def __call__(self, *, n_labels: int = 8, n_clips: int = 600, n_points: int = 300) -> ReportData: ...


def make_data(*, n_labels: int = 8, n_clips: int = 600, n_points: int = 300) -> ReportData:
    rng = np.random.default_rng(5)
    labels = LABELS[:n_labels]
    clips = _clips(rng, n_clips, n_labels)
    names = SPEC.names()[::2]
    centres = _centres(rng, labels)
    judged = Judged(*_judge(rng, centres, 320))
    features, embedding = _features(rng, names, n_points, n_labels), _embed(rng, centres, n_points)
    confusion = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(confusion, (judged.truth, judged.probabilities.argmax(axis=1)), 1)
    return ReportData(
        name="made-up",
        description="made-up numbers <in the place of> a model's & its data",
        card=_card(labels, len(names), confusion),
        settings=(Setting("model.kind", "dense"), Setting("fitting.learning_rate", 0.001)),
        labels=labels,
        clips=clips,
        history=_history(rng),
        judged=replace(judged, intervals=_intervals(confusion)),
        features=features,
        embedding=embedding,
    )


def _clips(rng: np.random.Generator, n_clips: int, n_labels: int) -> Clips:
    label = rng.choice(n_labels, n_clips)
    number = rng.integers(1, 25, n_clips)
    corpus = np.where(rng.random(n_clips) < 0.8, "RAVDESS", "nEMO")
    song = (corpus == "RAVDESS") & (rng.random(n_clips) < 0.4) & (label < 6)
    number = np.where(corpus == "nEMO", 1 + number % 9, number)
    speaker = [f"{name.lower()}-{n:02d}" for name, n in zip(corpus, number, strict=True)]
    return Clips(
        label=label,
        speaker=tuple(speaker),
        corpus=tuple(corpus.tolist()),
        channel=tuple(np.where(song, "song", "speech").tolist()),
        held_out=np.isin(speaker, ["ravdess-01", "ravdess-04", "ravdess-19", "nemo-03"]),
    )


def _centres(rng: np.random.Generator, labels: tuple[str, ...]) -> npt.NDArray[np.float64]:
    centres = rng.normal(size=(len(labels), 24))
    for label, like in SIMILAR.items():
        if label in labels:
            centres[labels.index(label)] = (
                0.6 * centres[labels.index(like)] + 0.4 * centres[labels.index(label)]
            )
    return centres


def _judge(
    rng: np.random.Generator, centres: npt.NDArray[np.float64], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    truth = rng.choice(len(centres), n)
    vectors = centres[truth] + 1.6 * rng.normal(size=(n, centres.shape[1]))
    logits = -((vectors[:, np.newaxis] - centres) ** 2).sum(axis=-1) / 6
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _features(rng: np.random.Generator, names: tuple[str, ...], n: int, n_labels: int) -> Features:
    label = rng.choice(n_labels, n)
    strength = np.sort(rng.exponential(0.5, len(names)))[::-1][rng.permutation(len(names))]
    inputs = rng.normal(size=(n, len(names))) + strength * rng.normal(size=(n_labels, len(names)))[label]
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    importances = strength * rng.uniform(0.8, 1.2, len(names))
    return Features(
        names=names,
        inputs=inputs.astype(np.float16),
        label=label,
        importances=(importances / importances.sum()).astype(np.float32),
        importance_method="mean decrease in impurity of the selection's random forest",
    )


def _embed(rng: np.random.Generator, centres: npt.NDArray[np.float64], n: int) -> Embedding:
    label = rng.choice(len(centres), n)
    held_out = rng.random(n) < 0.2
    noise = np.where(held_out, 1.5, 0.8)[:, np.newaxis] * rng.normal(size=(n, centres.shape[1]))
    return Embedding((centres[label] + noise).astype(np.float32), label, held_out, "the last hidden layer")


def _history(rng: np.random.Generator) -> tuple[Epoch, ...]:
    epochs = []
    for number in range(1, 44):
        decay, noise = np.exp(-number / 9), rng.normal(0, 0.008, 4)
        rate = 0.001 * 0.5 ** (number // 14)
        epochs.append(
            Epoch(
                number,
                float(0.75 + 1.3 * decay + noise[0]),
                float(0.93 - 0.7 * decay + noise[1]),
                float(1.25 + 0.75 * decay + 0.003 * number + noise[2]),
                float(0.6 - 0.4 * decay - 0.0004 * number + noise[3]),
                rate,
            )
        )
    return tuple(epochs)


def _intervals(counts: npt.NDArray[np.int64]) -> ClassIntervals:
    """Return something like intervals around the scores of a confusion matrix."""
    right, n_true, n_said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall, f1 = (
        np.clip((right / n)[:, np.newaxis] + (-0.14, 0.11), 0, 1)
        for n in (n_said, n_true, (n_true + n_said) / 2)
    )
    return ClassIntervals(precision, recall, f1, "bootstrap over speakers")


def _card(labels: tuple[str, ...], n_selected: int, confusion: npt.NDArray[np.int64]) -> Card:
    scores = Scores(
        n=int(confusion.sum()),
        accuracy=0.588,
        uar=0.5906,
        macro_f1=0.5845,
        ece=0.0206,
        confusion=confusion.tolist(),
        n_seeds=3,
        sd={"accuracy": 0.012},
        ci95={"accuracy": (0.551, 0.623)},
    )
    return Card(
        format_version=2,
        name="made-up",
        description="made-up numbers",
        labels=list(labels),
        features=SPEC.to_dict(),
        window=48_000,
        hop=8_000,
        n_features=SPEC.n_values,
        n_selected=n_selected,
        input_shape=[1, n_selected],
        output_shape=[1, len(labels)],
        training=Training(
            recipe="made-up",
            command="tonewatch-train fit made-up --seed 42",
            corpora=["RAVDESS", "nEMO"],
            licence="for tests",
            seed=42,
            n_clips=600,
            n_windows=9_000,
            versions={"numpy": "1.26.4"},
        ),
        scores={"random": {"clips": {"all": scores}}, "speaker": {"clips": {"all": scores}}},
        scores_note="A note on the scores.",
        sha256={"model.tflite": "0" * 64, "preprocess.npz": "1" * 64},
    )


@pytest.fixture(scope="session")
def made_up() -> ReportData:
    return make_data()


@pytest.fixture(scope="session")
def small() -> ReportData:
    """Quick to draw: few classes, clips and points."""
    return make_data(n_labels=3, n_clips=60, n_points=60)
