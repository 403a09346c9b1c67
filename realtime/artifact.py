"""Models on disk: one folder each, read and written with every byte checked.

``models/<name>/`` holds ``model.tflite``, ``preprocess.npz`` (selector, scaler, and the filterbanks that
the features were computed with) and ``card.json`` (everything else, and the SHA-256 of the other two).
There is no pickle anywhere.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.errors import ArtifactError, FeatureError, UnknownModelError
from realtime.features import FeatureSpec
from realtime.features.compute import Banks
from realtime.features.families import Mel, Mfcc
from realtime.types import LABELS, FloatArray, Smoothing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT_VERSION = 1
DEFAULT_MODEL = "ann-392"
MODEL_FILE, PREPROCESS_FILE, CARD_FILE = "model.tflite", "preprocess.npz", "card.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How well predictions agree with labels."""

    n: int
    """Number of clips or windows scored."""
    n_unheard: int = 0
    """Number of those in which no voice was heard, so that nothing was predicted: they count as wrong."""
    accuracy: float
    uar: float
    """Unweighted average recall: the mean over classes of the share recognised."""
    macro_f1: float
    ece: float
    """Expected calibration error, over ten bins of confidence."""
    confusion: list[list[int]]
    """Rows: true label; columns: prediction; both in the card's order."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from."""

    recipe: str
    command: str
    """What makes the model again."""
    corpora: list[str]
    licence: str
    seed: int
    n_clips: int
    n_windows: int
    versions: dict[str, str] = {}
    """Packages that trained it, with their versions."""
    parity: float = 0.0
    """Largest difference between the probabilities of Keras and TFLite on real windows."""


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a model but its weights."""

    format_version: int
    name: str
    description: str
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
    """Number of those that the network sees."""
    smoothing: Smoothing = Smoothing()
    temperature: float = 1.0
    """What logits are divided by, so that probabilities are neither too sure nor too unsure."""
    thresholds: dict[str, float] = {}
    """Smoothed probability from which on predictions reach a precision, by that precision; for those who
    choose a `min_probability`, none is applied by itself. May be empty."""
    input_shape: list[int]
    output_shape: list[int]
    quantisation: Literal["float32", "float16", "int8"]
    training: Training
    scores: dict[str, dict[str, dict[str, Scores]]] = {}
    """By protocol (`random`, `speaker`), unit (`clips`, `windows`, `rooms`: windows at other levels and in a
    room's noise) and part (`all`, `speech`, `song`)."""
    scores_note: str = ""
    """What the scores were measured on, and the command that measures them again."""
    sha256: dict[str, str]
    """Of the folder's other files."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a feature vector to the network's input.

    Parameters
    ----------
    selected : np.ndarray [shape=(n_selected,), dtype=int64]
        Indices of the features that the network sees.
    mean, scale : np.ndarray [shape=(n_selected,), dtype=float32]
        What is subtracted from each, and what it is then divided by.
    """

    selected: npt.NDArray[np.int64]
    mean: FloatArray
    scale: FloatArray

    def __call__(self, features: FloatArray) -> FloatArray:
        """Return the selected, scaled features [shape=(..., n_selected)] of shape (..., n_features)."""
        return np.asarray((features[..., self.selected] - self.mean) / self.scale, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model, checked and ready for the classifier.

    Parameters
    ----------
    path
        Its folder.
    card
        What `card.json` says.
    spec
        The features it was trained on.
    preprocessing
        From their vector to the network's input.
    model
        The bytes of `model.tflite`.
    """

    path: Path
    card: Card
    spec: FeatureSpec
    preprocessing: Preprocessing
    model: bytes


def model_folders() -> tuple[Path, ...]:
    """Return the folders in which models are looked up by name: a checkout's, or the installed package's."""
    package = Path(__file__).resolve().parent
    return tuple(folder for folder in (package.parent / "models", package / "models") if folder.is_dir())


def model_names() -> tuple[str, ...]:
    """Return the names of the models there are, sorted."""
    names = {card.parent.name for folder in model_folders() for card in folder.glob(f"*/{CARD_FILE}")}
    return tuple(sorted(names))


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder of a model, by its name or its path.

    Raises
    ------
    UnknownModelError
        Where there is none; the message lists the models there are.
    """
    text = os.fspath(name_or_path)
    if _NAME.fullmatch(text):
        for folder in model_folders():
            if (folder / text / CARD_FILE).is_file():
                return folder / text
    path = Path(text)
    if path.is_dir():
        return path
    known = ", ".join(model_names()) or "none"
    raise UnknownModelError(
        f"there is no model {text!r}; there are: {known}. Give one of these, or the path of a model's folder"
    )


def read(path: str | os.PathLike[str]) -> Artifact:
    """Read and check a model's folder.

    Raises
    ------
    ArtifactError
        Where a file is missing, truncated, tampered with, newer than this program, or does not fit the
        others. The message names the file, what was wanted and what was found.
    """
    folder = Path(path)
    card_path = folder / CARD_FILE
    card = _read_card(card_path)
    contents = {}
    for name in (MODEL_FILE, PREPROCESS_FILE):
        contents[name] = _read_bytes(folder / name)
        found, wanted = hashlib.sha256(contents[name]).hexdigest(), card.sha256.get(name, "none")
        if found != wanted:
            raise ArtifactError(
                f"{folder / name}: its SHA-256 is {found[:12]}…, {CARD_FILE} wants {wanted[:12]}…; "
                "the file was changed or cut short: copy the model's folder again"
            )
    try:
        spec = FeatureSpec.from_dict(card.features)
    except FeatureError as error:
        raise ArtifactError(f"{card_path}: features: {error}") from None
    preprocessing = _read_preprocessing(folder / PREPROCESS_FILE, contents[PREPROCESS_FILE], card, spec)
    _check_fit(card_path, card, spec)
    return Artifact(folder, card, spec, preprocessing, contents[MODEL_FILE])


def write(
    path: Path,
    *,
    card: Card,
    preprocessing: Preprocessing,
    model: bytes,
) -> Card:
    """Write a model's folder, and return its card with the checksums filled in.

    Each file is written beside its place and moved there when it is whole; the card comes last, so that
    an interrupt leaves the old model or a refused one, never a mixture that looks sound.

    Raises
    ------
    ArtifactError
        Where the parts do not fit each other: what `read` would refuse is not written.
    """
    spec = FeatureSpec.from_dict(card.features)
    packed = _pack_preprocessing(preprocessing, spec)
    digests = {
        MODEL_FILE: hashlib.sha256(model).hexdigest(),
        PREPROCESS_FILE: hashlib.sha256(packed).hexdigest(),
    }
    card = msgspec.structs.replace(card, sha256=digests)
    _read_preprocessing(path / PREPROCESS_FILE, packed, card, spec)
    _check_fit(path / CARD_FILE, card, spec)
    path.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n"
    for name, data in ((MODEL_FILE, model), (PREPROCESS_FILE, packed), (CARD_FILE, text)):
        partial = path / f".{name}.partial"
        partial.write_bytes(data)
        partial.replace(path / name)
    return card


class _Version(msgspec.Struct):
    format_version: int


def _read_card(path: Path) -> Card:
    data = _read_bytes(path)
    try:
        # The version first: a newer card may hold what this program does not know.
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format_version is {version}, this program reads up to {FORMAT_VERSION}; "
                "install a newer tonewatch"
            )
        if version < 1:
            raise ArtifactError(f"{path}: format_version is {version}; wanted {FORMAT_VERSION}")
        return msgspec.json.decode(data, type=Card)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"{path}: not a model card: {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: {error.strerror or error}; a model's folder holds {MODEL_FILE}, {PREPROCESS_FILE} "
            f"and {CARD_FILE}"
        ) from None


def _pack_preprocessing(preprocessing: Preprocessing, spec: FeatureSpec) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {
        "selected": preprocessing.selected.astype(np.int64),
        "mean": preprocessing.mean.astype(np.float32),
        "scale": preprocessing.scale.astype(np.float32),
        **_filterbanks(spec),
    }
    packed = io.BytesIO()
    # Dates in the archive would give the same model another checksum every time it is made.
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _read_preprocessing(path: Path, data: bytes, card: Card, spec: FeatureSpec) -> Preprocessing:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: not an archive of arrays: {error}") from None
    wanted = {"selected": np.int64, "mean": np.float32, "scale": np.float32}
    for name, dtype in wanted.items():
        array = arrays.get(name)
        if array is None or array.shape != (card.n_selected,) or array.dtype != dtype:
            found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
            raise ArtifactError(
                f"{path}: {name} is {found}; wanted {np.dtype(dtype)} of shape ({card.n_selected},)"
            )
    selected, mean, scale = (arrays[name] for name in wanted)
    if card.n_selected and not (selected.min() >= 0 and selected.max() < spec.n_values):
        raise ArtifactError(
            f"{path}: selected runs from {selected.min()} to {selected.max()}; "
            f"wanted indices of the {spec.n_values} features"
        )
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ArtifactError(f"{path}: mean and scale hold values that are not finite, or no positive scale")
    _check_filterbanks(path, arrays, spec)
    return Preprocessing(selected, mean, scale)


def _filterbanks(spec: FeatureSpec) -> dict[str, npt.NDArray[np.float32]]:
    """Return the mel filters that a specification uses, by a name that tells their parameters."""
    banks = Banks(spec)
    found = {}
    for family in spec.families:
        if isinstance(family, Mel | Mfcc):
            n_mels = family.n if isinstance(family, Mel) else family.n_mels
            bank = banks.mel(n_mels, family.fmin, family.fmax).bank
            found[f"mel_{n_mels}_{family.fmin:g}_{family.fmax:g}"] = bank.astype(np.float32)
    return found


def _check_filterbanks(path: Path, arrays: Mapping[str, npt.NDArray[Any]], spec: FeatureSpec) -> None:
    """Refuse a model whose filters this program would make otherwise: its features would be other ones."""
    for name, ours in _filterbanks(spec).items():
        theirs = arrays.get(name)
        if (
            theirs is None
            or theirs.shape != ours.shape
            or not np.allclose(theirs, ours, rtol=1e-4, atol=1e-7)
        ):
            found = "nothing" if theirs is None else f"other values, of shape {theirs.shape}"
            raise ArtifactError(
                f"{path}: the filterbank {name} is {found}; wanted this program's, of shape {ours.shape}: "
                "the model was made for other features, train it again"
            )


def _check_fit(path: Path, card: Card, spec: FeatureSpec) -> None:
    """Refuse a card whose parts contradict each other."""
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


def _expectations(card: Card, spec: FeatureSpec) -> Sequence[tuple[str, object, object]]:
    in_order = [label for label in LABELS if label in card.labels]
    n_frames = spec.n_frames(card.window)
    inner = [card.n_selected] if spec.output == "pooled" else [n_frames, card.n_selected]
    return (
        ("format_version", card.format_version, FORMAT_VERSION),
        ("labels", card.labels, in_order),
        ("n_features", card.n_features, spec.n_values),
        ("input_shape", card.input_shape, [1, *inner]),
        ("output_shape", card.output_shape, [1, len(card.labels)]),
    )
