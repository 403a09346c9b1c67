"""Models on disk: one folder each, read and written with every byte checked.

``models/<name>/`` holds ``model.tflite`` or ``model.skops`` (an estimator of scikit-learn's, as skops
writes it), ``preprocess.npz`` (what stands between features and model) and ``card.json`` (everything
else, and the SHA-256 of the other two). There is no pickle anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from realtime import card as cards
from realtime import preprocessing as preprocessings
from realtime.card import FORMAT_VERSION, Card, ClassScores, Export, Runtime, Scores, Training
from realtime.errors import ArtifactError, FeatureError, UnknownModelError
from realtime.features import FeatureSpec
from realtime.preprocessing import Preprocessing, Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CARD_FILE",
    "DEFAULT_MODEL",
    "FORMAT_VERSION",
    "MODEL_FILE",
    "MODEL_FILES",
    "PREPROCESS_FILE",
    "Artifact",
    "Card",
    "ClassScores",
    "Export",
    "Preprocessing",
    "Probe",
    "Scores",
    "Training",
    "find",
    "model_folders",
    "model_names",
    "read",
    "write",
]

DEFAULT_MODEL = "pair-88"
MODEL_FILES: dict[Runtime, str] = {"tflite": "model.tflite", "skops": "model.skops"}
"""Name of the model's file, by what runs it."""
MODEL_FILE, PREPROCESS_FILE, CARD_FILE = MODEL_FILES["tflite"], "preprocess.npz", "card.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model, checked and ready to be run.

    Parameters
    ----------
    path
        Its folder.
    card
        What `card.json` says.
    spec
        The features it was trained on.
    preprocessing
        From their vector to the model's input.
    model
        The bytes of its file: `model.tflite` or `model.skops`.
    probe
        What it must answer to what; estimators alone have one.
    """

    path: Path
    card: Card
    spec: FeatureSpec
    preprocessing: Preprocessing
    model: bytes
    probe: Probe | None = None

    @property
    def model_path(self) -> Path:
        """The model's file."""
        return self.path / MODEL_FILES[self.card.runtime]


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
        Where there is none, or nobody may look; the message lists the models there are.
    """
    text = os.fspath(name_or_path)
    reason = f"there is no model {text!r}"
    try:
        found = _look_for(text)
    except OSError as error:
        found, reason = None, f"no model can be looked for at {text!r}: {error.strerror or error}"
    if found is not None:
        return found
    known = ", ".join(model_names()) or "none"
    raise UnknownModelError(
        f"{reason}; there are: {known}. Give one of these, or the path of a model's folder"
    )


def _look_for(text: str) -> Path | None:
    named = [folder / text for folder in model_folders()] if _NAME.fullmatch(text) else []
    for folder in named:
        if (folder / CARD_FILE).is_file():
            return folder
    path = Path(text)
    return path if path.is_dir() else None


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
    card = cards.decode(card_path, _read_bytes(card_path))
    model_file = MODEL_FILES[card.runtime]
    contents = {}
    for name in (model_file, PREPROCESS_FILE):
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
    preprocessing, probe = preprocessings.unpack(
        folder / PREPROCESS_FILE, contents[PREPROCESS_FILE], card, spec
    )
    cards.check(card_path, card, spec)
    return Artifact(folder, card, spec, preprocessing, contents[model_file], probe)


def write(
    path: Path,
    *,
    card: Card,
    preprocessing: Preprocessing,
    model: bytes,
    probe: Probe | None = None,
) -> Card:
    """Write a model's folder, and return its card with the checksums filled in.

    Every file is written beside its place, and they are moved there when all are whole, the card last: a full
    disk or an interrupt leaves the old model, at the worst of moments one that is refused, never a mixture
    that looks sound.

    Parameters
    ----------
    path
        The folder; it is made where it is not there.
    card
        Without checksums, or with any.
    preprocessing
        From features to the model's input.
    model
        The contents of its file.
    probe
        What it must answer to what; needed for estimators, whose arithmetic is another package's.

    Raises
    ------
    ArtifactError
        Where the parts do not fit each other (what `read` would refuse is not written), and where the disk is
        full or refuses.
    """
    spec = FeatureSpec.from_dict(card.features)
    packed = preprocessings.pack(preprocessing, spec, probe)
    model_file = MODEL_FILES[card.runtime]
    digests = {
        model_file: hashlib.sha256(model).hexdigest(),
        PREPROCESS_FILE: hashlib.sha256(packed).hexdigest(),
    }
    card = msgspec.structs.replace(card, sha256=digests)
    preprocessings.unpack(path / PREPROCESS_FILE, packed, card, spec)
    cards.check(path / CARD_FILE, card, spec)
    _put(path, {model_file: model, PREPROCESS_FILE: packed, CARD_FILE: cards.encode(card)})
    return card


def _put(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put files into a folder, all or none; those of another runtime go."""
    is_new = False
    partials = {folder / name: folder / f".{name}.partial" for name in contents}
    path, kept = folder, "nothing was changed"
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        for path, partial in partials.items():
            with partial.open("wb") as file:
                file.write(contents[path.name])
                file.flush()
                # Some disks tell that they are full, or over a quota, no earlier.
                os.fsync(file.fileno())
        for path, partial in partials.items():
            partial.replace(path)
            kept = "the folder holds parts of two models"
        for path in {folder / name for name in MODEL_FILES.values()} - set(partials):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be written: {error.strerror or error}; {kept}: "
            "make room, or choose another folder, and write the model again"
        ) from None
    finally:
        for partial in partials.values():
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        if is_new:
            # Fails, as it should, where the model is in it.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: {error.strerror or error}; a model's folder holds {' or '.join(MODEL_FILES.values())}, "
            f"{PREPROCESS_FILE} and {CARD_FILE}"
        ) from None
