"""Report data on disk, so that pictures can be made again without training: no pickle, every byte checked."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from realtime.artifact import Card  # noqa: TC001 - what is read is checked against it
from realtime.errors import ArtifactError
from training.epochs import Epoch
from training.report.data import (
    ClassIntervals,
    Clips,
    Embedding,
    Features,
    Judged,
    ReportData,
    Setting,
    Unit,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMAT_VERSION = 1
ARRAYS_FILE, TEXT_FILE = "report-data.npz", "report-data.json"
_INTEGERS = {"clips.label", "clips.speaker", "clips.corpus", "clips.channel", "judged.truth"} | {
    "features.label",
    "embedding.label",
}
_TRUTHS = {"clips.held_out", "embedding.held_out"}


class _Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is no array.

    Speakers, corpora and channels are named once here; the arrays hold their places in these lists.
    """

    format_version: int
    sha256: str
    """Of the arrays' file."""
    name: str
    description: str
    card: Card
    settings: tuple[Setting, ...]
    speakers: tuple[str, ...]
    corpora: tuple[str, ...]
    channels: tuple[str, ...]
    unit: Unit
    class_interval_method: str | None
    feature_names: tuple[str, ...]
    importance_method: str
    embedding_source: str | None


class _Version(msgspec.Struct):
    format_version: int


def save_data(data: ReportData, folder: Path) -> tuple[Path, Path]:
    """Write report data, and return the paths of its text and of its arrays.

    Each file appears when it is whole, the text last: an interrupt leaves what is refused, no mixture.
    """
    speaker, corpus, channel = (
        np.unique(np.asarray(names), return_inverse=True)
        for names in (data.clips.speaker, data.clips.corpus, data.clips.channel)
    )
    arrays = _arrays(data)
    for name, (_, places) in (("speaker", speaker), ("corpus", corpus), ("channel", channel)):
        arrays[f"clips.{name}"] = places.astype(np.int64)
    packed = _pack(arrays)
    per_class = data.judged.intervals
    text = _Text(
        format_version=FORMAT_VERSION,
        sha256=hashlib.sha256(packed).hexdigest(),
        name=data.name,
        description=data.description,
        card=data.card,
        settings=data.settings,
        speakers=tuple(speaker[0].tolist()),
        corpora=tuple(corpus[0].tolist()),
        channels=tuple(channel[0].tolist()),
        unit=data.judged.unit,
        class_interval_method=None if per_class is None else per_class.method,
        feature_names=data.features.names,
        importance_method=data.features.importance_method,
        embedding_source=None if data.embedding is None else data.embedding.source,
    )
    folder.mkdir(parents=True, exist_ok=True)
    plain = msgspec.json.format(msgspec.json.encode(text), indent=1) + b"\n"
    for name, content in ((ARRAYS_FILE, packed), (TEXT_FILE, plain)):
        partial = folder / f".{name}.partial"
        partial.write_bytes(content)
        partial.replace(folder / name)
    return folder / TEXT_FILE, folder / ARRAYS_FILE


def load_data(folder: Path) -> ReportData:
    """Read report data back, the same to the last bit.

    Raises
    ------
    ArtifactError
        Where a file is missing, damaged, newer than this program, or does not fit the other.
    """
    text = _read_text(folder / TEXT_FILE)
    path = folder / ARRAYS_FILE
    packed = _read_bytes(path)
    if (found := hashlib.sha256(packed).hexdigest()) != text.sha256:
        raise ArtifactError(
            f"{path}: its SHA-256 is {found[:12]}…, {TEXT_FILE} wants {text.sha256[:12]}…; "
            "the file was changed or cut short: copy both again, or train again"
        )
    arrays = _Arrays(path, packed)
    try:
        return _assemble(text, arrays)
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}; train again") from None


class _Arrays:
    """The arrays of a file, each asked for by its name and checked for its kind."""

    def __init__(self, path: Path, packed: bytes) -> None:
        self._path = path
        try:
            with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
                self._arrays = {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path}: not an archive of arrays: {error}") from None

    def __call__(self, name: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] | None = self._arrays.get(name)
        kind = "i" if name in _INTEGERS else "b" if name in _TRUTHS else "f"
        if array is None or array.dtype.kind != kind:
            found = "nothing" if array is None else str(array.dtype)
            wanted = {"i": "whole numbers", "b": "truth values", "f": "floating-point numbers"}[kind]
            raise ArtifactError(f"{self._path}: {name} is {found}; wanted {wanted}; train again")
        return array

    def named(self, name: str, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names that an array of places stands for."""
        places = self(name)
        if places.ndim != 1 or not ((places >= 0) & (places < len(names))).all():
            raise ArtifactError(
                f"{self._path}: {name} holds places outside the {len(names)} names; train again"
            )
        return tuple(names[place] for place in places.tolist())

    def maybe(self, name: str) -> npt.NDArray[Any] | None:
        """Return an array that need not be there."""
        return self(name) if name in self._arrays else None


def _arrays(data: ReportData) -> dict[str, npt.NDArray[Any]]:
    per_class, embedding = data.judged.intervals, data.embedding
    history = [
        (e.number, e.loss, e.accuracy, e.inner_loss, e.inner_accuracy, e.learning_rate) for e in data.history
    ]
    arrays: dict[str, npt.NDArray[Any] | None] = {
        "clips.label": data.clips.label,
        "clips.held_out": data.clips.held_out,
        "history": np.asarray(history, dtype=np.float64).reshape(-1, 6),
        "judged.truth": data.judged.truth,
        "judged.probabilities": data.judged.probabilities,
        "judged.precision": None if per_class is None else per_class.precision,
        "judged.recall": None if per_class is None else per_class.recall,
        "judged.f1": None if per_class is None else per_class.f1,
        "features.inputs": data.features.inputs,
        "features.label": data.features.label,
        "features.importances": data.features.importances,
        "embedding.vectors": None if embedding is None else embedding.vectors,
        "embedding.label": None if embedding is None else embedding.label,
        "embedding.held_out": None if embedding is None else embedding.held_out,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def _assemble(text: _Text, arrays: _Arrays) -> ReportData:
    per_class = embedding = None
    if text.class_interval_method is not None:
        per_class = ClassIntervals(
            arrays("judged.precision"),
            arrays("judged.recall"),
            arrays("judged.f1"),
            text.class_interval_method,
        )
    if text.embedding_source is not None:
        embedding = Embedding(
            arrays("embedding.vectors"),
            arrays("embedding.label"),
            arrays("embedding.held_out"),
            text.embedding_source,
        )
    history = arrays("history")
    if history.ndim != 2 or history.shape[1] != 6:  # noqa: PLR2004 - an epoch's number and its five values
        raise ValueError(f"history is of shape {history.shape}; wanted (n_epochs, 6)")
    return ReportData(
        name=text.name,
        description=text.description,
        card=text.card,
        settings=text.settings,
        labels=tuple(text.card.labels),
        clips=Clips(
            arrays("clips.label"),
            arrays.named("clips.speaker", text.speakers),
            arrays.named("clips.corpus", text.corpora),
            arrays.named("clips.channel", text.channels),
            arrays("clips.held_out"),
        ),
        history=tuple(Epoch(int(row[0]), *row[1:].tolist()) for row in history),
        judged=Judged(arrays("judged.truth"), arrays("judged.probabilities"), text.unit, per_class),
        features=Features(
            text.feature_names,
            arrays("features.inputs"),
            arrays("features.label"),
            arrays.maybe("features.importances"),
            text.importance_method,
        ),
        embedding=embedding,
    )


def _pack(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    packed = io.BytesIO()
    # Dates in the archive would give the same data other bytes every time.
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _read_text(path: Path) -> _Text:
    content = _read_bytes(path)
    try:
        # The version first: newer data may hold what this program does not know.
        version = msgspec.json.decode(content, type=_Version).format_version
        if version != FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format_version is {version}, this program reads {FORMAT_VERSION}; "
                "install the tonewatch that wrote it, or train again"
            )
        return msgspec.json.decode(content, type=_Text)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"{path}: not a report's data: {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: {error.strerror or error}; a fit leaves {TEXT_FILE} and {ARRAYS_FILE} in its report's "
            "folder: train again, or name the folder of a model that has them"
        ) from None
