"""What a model says of itself: the contents of its `card.json`, and what its parts owe each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from realtime.errors import ArtifactError
from realtime.speaker import Adaptation  # noqa: TC001 - msgspec reads annotations
from realtime.types import LABELS, Smoothing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from realtime.features import FeatureSpec

FORMAT_VERSION = 2
"""Of the cards that are written. Version 1 knew no `runtime`, `exports` or recipe's digest, one seed, and no
intervals or classes in its scores: it is read as a card that leaves them at their defaults."""

_NUMBERS = re.compile(rb"\[([-+0-9eE.,\s]+)\]")
"""A list of numbers, over any number of lines."""

Runtime = Literal["tflite", "skops"]


class ClassScores(msgspec.Struct, frozen=True, kw_only=True):
    """How well one class is told from the others."""

    n: int
    """Number of clips or windows of the class, with each seed."""
    precision: float
    """Share of the predictions of the class that are right; 0 where there are none."""
    recall: float
    """Share of the class that is recognised."""
    f1: float


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How well predictions agree with labels: figures are means over seeds."""

    n: int
    """Number of clips or windows scored, with each seed."""
    n_unheard: int = 0
    """Number of those in which no voice was heard, so that nothing was predicted: they count as wrong."""
    accuracy: float
    uar: float
    """Unweighted average recall: the mean over classes of the share recognised."""
    macro_f1: float
    ece: float
    """Expected calibration error, over ten bins of confidence."""
    confusion: list[list[int]]
    """Rows: true label; columns: prediction; both in the card's order. Summed over seeds."""
    n_seeds: int = 1
    """Number of trainings, each with a seed of its own, behind these figures."""
    sd: dict[str, float] = {}
    """Standard deviation over seeds of `accuracy`, `uar`, `macro_f1` and `ece`; empty for one seed."""
    ci95: dict[str, tuple[float, float]] = {}
    """Ends of the 95% interval of the same figures, by a bootstrap over speakers; may be empty.

    Of several seeds, the means of each one's ends (in older files those of their mean).
    """
    classes: dict[str, ClassScores] = {}
    """By label, for those that occur; may be empty."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What a threshold leaves of strangers' windows, none of which helped to find it."""

    share: float
    """Of all windows with a voice, those that reach it: the others are `unknown`."""
    precision: float
    """Share of these that are right; 0 where there are none."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What one way to store the weights costs, and what it leaves of the model."""

    n_bytes: int
    """Size of the file."""
    parity: float
    """Largest difference of a probability from the trained model's, on real windows."""
    accuracy: float | None = None
    uar: float | None = None
    """Of windows that the model was not trained on, where they were measured."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from."""

    recipe: str
    recipe_sha256: str = ""
    """Digest of the recipe as it was then; empty where it is not known."""
    command: str
    """What makes the model again."""
    corpora: list[str]
    data_sha256: str = ""
    """Of their recordings, labels and speakers; empty where it is not known."""
    labels: dict[str, list[str]] = {}
    """By corpus: those of the card's classes that its recordings hold. May be empty."""
    licence: str
    seed: int
    n_clips: int
    n_windows: int
    versions: dict[str, str] = {}
    """Packages that trained it, with their versions."""
    note: str = ""
    """On whom it was trained, and by whom its training was stopped and its temperature set."""
    parity: float = 0.0
    """Largest difference between the probabilities of the trained and the written model, on real windows."""


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a model but its weights."""

    format_version: int
    name: str
    description: str
    runtime: Runtime = "tflite"
    """What runs it: the TFLite runtime, or what reads scikit-learn's estimators from skops archives."""
    labels: list[str]
    features: dict[str, Any]
    """The `FeatureSpec`, as plain data."""
    window: int
    """Length of a window, in samples."""
    hop: int
    """Default step between windows, in samples."""
    n_features: int
    """Number of values of a pooled vector (or of a frame)."""
    n_selected: int
    """Number of those that the model sees."""
    smoothing: Smoothing = Smoothing()
    """How successive windows are combined by default, where `hop` is the step between them."""
    adaptation: Adaptation | None = None
    """How the model gets used to a speaker; not at all where there is none."""
    intensity: bool = False
    """Whether the model also tells how strong the emotion is: behind the labels, 0 to 1."""
    temperature: float = 1.0
    """What logits are divided by, so that probabilities are neither too sure nor too unsure."""
    thresholds: dict[str, float] = {}
    """Smoothed probability from which on predictions reach a precision, by that precision; for those who
    choose a `min_probability`, none is applied by itself. May be empty."""
    coverage: dict[str, Coverage] = {}
    """By the same precisions, what the thresholds leave of the speaker protocol's test parts; or empty."""
    coverage_elsewhere: dict[str, dict[str, Coverage]] = {}
    """By direction of the cross protocol and by precision: what the thresholds of a model that was trained
    on one corpus alone leave of the other's windows; may be empty."""
    input_shape: list[int]
    output_shape: list[int]
    quantisation: Literal["float32", "float16", "int8"] = "float32"
    """Of the weights; estimators have none, and take float32 as they are."""
    training: Training
    scores: dict[str, dict[str, dict[str, Scores]]] = {}
    """By protocol, unit and part. Protocols: `random`, `kfold`, `speaker`, and paths such as
    `speaker/adapted`, `cross/ravdess-nemo/four`, `cross/ravdess-nemo/four/adapted`, `robust/noise-10db`.
    Units: `clips`, `windows` (in version 1 also `rooms`). Parts: `all`, `speech`, `song`; of several corpora
    each of them too, whole and by channel: `ravdess`, `ravdess-speech`, `ravdess-song`, `nemo`."""
    scores_note: str = ""
    """What the scores were measured on, and the command that measures them again."""
    exports: dict[str, Export] = {}
    """Ways to store the weights that were measured, by quantisation; an estimator's by `skops`."""
    sha256: dict[str, str]
    """Of the folder's other files."""


def is_of_rounded_weights(protocol: str) -> bool:
    """Return whether a protocol's scores are of weights that were rounded, which `exports` sums up."""
    return protocol.endswith(("/float16", "/int8"))


class _Version(msgspec.Struct):
    format_version: int


def decode(path: Path, data: bytes) -> Card:
    """Return the card that a file holds; one of an older version comes back as one of this version.

    Parameters
    ----------
    path
        The file, for messages.
    data
        What is in it.

    Raises
    ------
    ArtifactError
        Where it is no card, or one that is newer than this program.
    """
    try:
        # The version first: a newer card may hold what this program does not know.
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format_version is {version}, this program reads up to {FORMAT_VERSION}; "
                "install a newer tonewatch"
            )
        if version < 1:
            raise ArtifactError(f"{path}: format_version is {version}; wanted 1 to {FORMAT_VERSION}")
        card = msgspec.json.decode(data, type=Card)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a model card: {error}") from None
    return msgspec.structs.replace(card, format_version=FORMAT_VERSION)


def encode(content: msgspec.Struct) -> bytes:
    """Return a struct as JSON for people: a key a line, and each row of a matrix on one line."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=1)
    return (
        _NUMBERS.sub(lambda row: b"[" + b", ".join(row[1].replace(b",", b" ").split()) + b"]", text) + b"\n"
    )


def check(path: Path, card: Card, spec: FeatureSpec) -> None:
    """Refuse a card whose parts contradict each other.

    Parameters
    ----------
    path
        Its file, for the message.
    card
        What it says.
    spec
        The features that it names.

    Raises
    ------
    ArtifactError
        Where they do.
    """
    for what, found, wanted in _expectations(card, spec):
        if found != wanted:
            raise ArtifactError(f"{path}: {what} is {found}; wanted {wanted}")
    if card.window % spec.frame_hop or card.hop % spec.frame_hop or card.hop < 1:
        raise ArtifactError(
            f"{path}: window and hop are {card.window} and {card.hop} samples; "
            f"wanted multiples of the frame hop, {spec.frame_hop}"
        )
    if not (0 < card.smoothing.alpha <= 1 and card.smoothing.n >= 1 and card.temperature > 0):
        raise ArtifactError(
            f"{path}: alpha {card.smoothing.alpha}, n {card.smoothing.n}, temperature {card.temperature}; "
            "wanted alpha above 0 up to 1, n from 1 up, a positive temperature"
        )
    adaptation = card.adaptation
    if adaptation is not None and not (adaptation.prior_s > 0 and adaptation.memory_s > 0):
        raise ArtifactError(
            f"{path}: prior_s {adaptation.prior_s}, memory_s {adaptation.memory_s}; wanted both above 0"
        )
    if adaptation is not None and not (
        0 <= adaptation.logit_adjustment <= 1 and adaptation.label_prior_s > 0
    ):
        raise ArtifactError(
            f"{path}: logit_adjustment {adaptation.logit_adjustment}, label_prior_s "
            f"{adaptation.label_prior_s}; wanted 0 to 1, and above 0"
        )
    if card.runtime == "skops" and card.intensity:
        raise ArtifactError(f"{path}: runtime is skops, with intensity; wanted none: estimators tell labels")
    if card.runtime == "skops" and (spec.output != "pooled" or card.quantisation != "float32"):
        raise ArtifactError(
            f"{path}: runtime is skops, features are {spec.output}, quantisation is {card.quantisation}; "
            "wanted pooled features and float32: estimators see one vector a window"
        )


def _expectations(card: Card, spec: FeatureSpec) -> Sequence[tuple[str, object, object]]:
    in_order = [label for label in LABELS if label in card.labels]
    n_frames = spec.n_frames(card.window)
    inner = [card.n_selected] if spec.output == "pooled" else [n_frames, card.n_selected]
    return (
        ("format_version", card.format_version, FORMAT_VERSION),
        ("labels", card.labels, in_order),
        ("n_features", card.n_features, spec.n_values),
        ("input_shape", card.input_shape, [1, *inner]),
        ("output_shape", card.output_shape, [1, len(card.labels) + card.intensity]),
    )
