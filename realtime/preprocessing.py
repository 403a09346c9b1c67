"""From features to a model's input: selector and scaler, and their file, `preprocess.npz`.

The file also holds the filterbanks that the features were computed with, and for an estimator a probe.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime.errors import ArtifactError
from realtime.features.compute import Banks
from realtime.features.families import Mel, Mfcc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from realtime.card import Card
    from realtime.features import FeatureSpec
    from realtime.types import FloatArray

_N_BYTES = 1 << 26
"""Of the file, unpacked, at most; the largest so far takes a hundredth of it."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a feature vector to the model's input.

    Parameters
    ----------
    selected : np.ndarray [shape=(n_selected,), dtype=int64]
        Indices of the features that the model sees.
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
class Probe:
    """Inputs with the answers that a model must give: another version of its runtime may not give them.

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, n_selected), dtype=float32]
        Selected and scaled.
    probabilities : np.ndarray [shape=(n, n_labels), dtype=float32]
        Untempered.
    """

    inputs: FloatArray
    probabilities: FloatArray


def pack(preprocessing: Preprocessing, spec: FeatureSpec, probe: Probe | None) -> bytes:
    """Return the contents of `preprocess.npz`: the same model gives the same bytes whenever it is made.

    Parameters
    ----------
    preprocessing
        From features to the model's input.
    spec
        The features, whose filterbanks go with them.
    probe
        What the model must answer to what, if that is to be held.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        "selected": preprocessing.selected.astype(np.int64),
        "mean": preprocessing.mean.astype(np.float32),
        "scale": preprocessing.scale.astype(np.float32),
        **_filterbanks(spec),
    }
    if probe is not None:
        arrays["probe_inputs"] = probe.inputs.astype(np.float32)
        arrays["probe_probabilities"] = probe.probabilities.astype(np.float32)
    packed = io.BytesIO()
    # Dates in the archive would give the same model another checksum every time it is made.
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(path: Path, data: bytes, card: Card, spec: FeatureSpec) -> tuple[Preprocessing, Probe | None]:
    """Return what `preprocess.npz` holds; an estimator's holds a probe too.

    Parameters
    ----------
    path
        The file, for messages.
    data
        What is in it.
    card
        Says how much there must be of what.
    spec
        The features, whose filterbanks must be this program's.

    Raises
    ------
    ArtifactError
        Where it is no archive of arrays, or they do not fit the card.
    """
    check_unpacked_size(path, data, _N_BYTES)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path}: not an archive of arrays: {error}") from None
    selected = _take(path, arrays, "selected", np.int64, (card.n_selected,))
    mean = _take(path, arrays, "mean", np.float32, (card.n_selected,))
    scale = _take(path, arrays, "scale", np.float32, (card.n_selected,))
    if card.n_selected and not (selected.min() >= 0 and selected.max() < spec.n_values):
        raise ArtifactError(
            f"{path}: selected runs from {selected.min()} to {selected.max()}; "
            f"wanted indices of the {spec.n_values} features"
        )
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ArtifactError(f"{path}: mean and scale hold values that are not finite, or no positive scale")
    _check_filterbanks(path, arrays, spec)
    probe = _read_probe(path, arrays, card) if card.runtime == "skops" else None
    return Preprocessing(selected, mean, scale), probe


def _read_probe(path: Path, arrays: Mapping[str, npt.NDArray[Any]], card: Card) -> Probe:
    n = max((1, *arrays["probe_inputs"].shape[:1])) if "probe_inputs" in arrays else 1
    inputs = _take(path, arrays, "probe_inputs", np.float32, (n, card.n_selected))
    probabilities = _take(path, arrays, "probe_probabilities", np.float32, (len(inputs), len(card.labels)))
    if not (np.isfinite(inputs).all() and np.isfinite(probabilities).all()):
        raise ArtifactError(f"{path}: the probe holds values that are not finite")
    return Probe(inputs, probabilities)


def _take(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], name: str, dtype: type, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return an array of the archive, of the type and shape that the card wants."""
    array = arrays.get(name)
    if array is None or array.shape != shape or array.dtype != dtype:
        found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
        raise ArtifactError(f"{path}: {name} is {found}; wanted {np.dtype(dtype)} of shape {shape}")
    return array


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


def check_unpacked_size(path: Path, data: bytes, n_bytes: int) -> None:
    """Refuse an archive that would take more memory than any model needs, before it is unpacked.

    Parameters
    ----------
    path
        Its file, for the message.
    data
        What is in it.
    n_bytes
        What it may take, unpacked.

    Raises
    ------
    ArtifactError
        Where it would take more, or is no archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Reading a member stops at the size that is told here, whatever follows.
            total = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArtifactError(f"{path}: not an archive: {error}") from None
    if total > n_bytes:
        raise ArtifactError(f"{path}: unpacked it takes {total:,} bytes; wanted at most {n_bytes:,}")
