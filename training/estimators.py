"""Scikit-learn's estimators: fitted, stored as skops archives, and run from them as live listening does."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from realtime.artifact import Probe
from realtime.errors import SettingsError, TrainingError
from realtime.estimator import open_archive
from training.recipes.schema import Forest, Neighbours, Svm

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.types import FloatArray
    from training.recipes.schema import Estimator

Rows: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]
Weights: TypeAlias = npt.NDArray[np.float32]

_ARCHIVE = Path("the estimator just trained")
"""What messages call an archive that is not on disk."""
_N_PROBE = 16
_CACHE_MB = 500
"""Of kernel values, while a support vector machine is fitted."""


def fit_estimator(
    model: Estimator,
    inputs: FloatArray,
    labels: Labels,
    n_labels: int,
    *,
    seed: int,
    weights: Weights | None,
) -> bytes:
    """Return a fitted estimator, as a skops archive: the same rows and seed give the same bytes.

    Parameters
    ----------
    model
        Which, and its settings.
    inputs : np.ndarray [shape=(n, n_inputs), dtype=float32]
        Selected and scaled, of the training part.
    labels : np.ndarray [shape=(n,), dtype=int64]
        Their classes.
    n_labels
        Number of classes in all; those without a row get a probability of 0.
    seed
        Of what is random in it.
    weights : np.ndarray [shape=(n,), dtype=float32], optional
        How much each row counts; all alike where None.

    Raises
    ------
    SettingsError
        Where rows are weighed of which this estimator counts each once.
    TrainingError
        Where the rows do not suffice.
    """
    n_present = len(np.unique(labels))
    if n_present < 2:  # noqa: PLR2004 - to tell one from the other
        raise TrainingError(f"the training part holds {n_present} of {n_labels} classes; wanted two or more")
    inputs = np.ascontiguousarray(inputs, dtype=np.float32)
    fitted = BUILDERS[type(model)](model, inputs, labels, seed, weights)
    # Archives know the classes that occur. How many there are in all is what the columns follow.
    fitted.n_labels_ = n_labels
    return _pack(fitted)


def predict_estimator(archive: bytes, inputs: FloatArray) -> FloatArray:
    """Return the untempered probabilities [shape=(n, n_labels), dtype=float32] of rows.

    Parameters
    ----------
    archive
        As `fit_estimator` gives it.
    inputs : np.ndarray [shape=(n, n_inputs), dtype=float32]
        Selected and scaled.
    """
    return open_archive(archive, _ARCHIVE, {}).vote(inputs)


def make_probe(archive: bytes, inputs: FloatArray) -> Probe:
    """Return some of the inputs, with the answers that the estimator must give wherever it is loaded.

    Parameters
    ----------
    archive
        As `fit_estimator` gives it.
    inputs : np.ndarray [shape=(n, n_inputs), dtype=float32]
        Selected and scaled; rows that it was not fitted to tell more.
    """
    rows = inputs[np.unique(np.linspace(0, len(inputs) - 1, _N_PROBE).round().astype(np.int64))]
    return Probe(rows, predict_estimator(archive, rows))


def _fit_forest(model: Forest, inputs: Rows, labels: Labels, seed: int, weights: Weights | None) -> Any:  # noqa: ANN401
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - few recipes need it

    forest = RandomForestClassifier(
        n_estimators=model.n_trees,
        max_depth=model.max_depth,
        min_samples_leaf=model.min_leaf,
        bootstrap=model.bootstrap,
        random_state=seed,
        n_jobs=-1,
    )
    forest.fit(inputs, labels, sample_weight=weights)
    # What is stored says nothing of the machine that made it.
    return forest.set_params(n_jobs=None)


def _fit_neighbours(
    model: Neighbours, inputs: Rows, labels: Labels, _seed: int, weights: Weights | None
) -> Any:  # noqa: ANN401
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415 - few recipes need it

    if weights is not None:
        raise SettingsError(
            "balance is class-weights, model is knn; wanted balance none, oversample or downsample: "
            "each neighbour has one vote, whatever its class"
        )
    if model.n_neighbours > len(inputs):
        raise TrainingError(
            f"model.n_neighbours is {model.n_neighbours}; wanted at most {len(inputs)}, the number of rows "
            "to train on"
        )
    # By brute force: among hundreds of features, trees find neighbours no quicker.
    return KNeighborsClassifier(n_neighbors=model.n_neighbours, weights=model.weights, algorithm="brute").fit(
        inputs, labels
    )


def _fit_svm(model: Svm, inputs: Rows, labels: Labels, _seed: int, weights: Weights | None) -> Any:  # noqa: ANN401
    from sklearn.svm import SVC  # noqa: PLC0415 - few recipes need it

    # What `gamma="scale"` means, as a number: it stands in the archive, and nobody has to work it out again.
    variance = float(inputs.var(dtype=np.float64))
    gamma = 1 / (inputs.shape[1] * variance) if variance else 1.0
    # No `probability=True`, which scikit-learn takes leave of, and no `CalibratedClassifierCV` in its place:
    # both fit sigmoids on folds of these rows, which share speakers and copies of clips. Margins are coupled
    # as they are (`realtime.voting.Margins`), and the temperature is fitted on other speakers.
    return SVC(C=model.c, kernel=model.kernel, gamma=gamma, cache_size=_CACHE_MB).fit(
        inputs, labels, sample_weight=weights
    )


BUILDERS: dict[type[Estimator], Callable[[Any, Rows, Labels, int, Weights | None], Any]] = {
    Forest: _fit_forest,
    Neighbours: _fit_neighbours,
    Svm: _fit_svm,
}
"""What fits each kind of estimator: settings, rows, classes, seed and weights to scikit-learn's object."""


def _pack(fitted: Any) -> bytes:  # noqa: ANN401 - scikit-learn's
    """Return a skops archive, without what differs from one run to another.

    Skops numbers objects by their address, names arrays after them and stores dates; all that would give the
    same model another checksum every time it is made.
    """
    from skops import io as skops  # noqa: PLC0415 - few recipes need it

    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(skops.dumps(fitted))) as archive,
        zipfile.ZipFile(packed, "w") as renamed,
    ):
        schema = json.loads(archive.read("schema.json"))
        names = _renumber(schema)
        members = {new: archive.read(old) for old, new in names.items()}
        members["schema.json"] = json.dumps(schema).encode()
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            renamed.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _renumber(schema: Any) -> dict[str, str]:  # noqa: ANN401 - any JSON
    """Give a schema's objects and files numbers in the order of their appearance; return the files' names."""
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        nodes += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if isinstance(node, dict) and "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
        if isinstance(node, dict) and isinstance(node.get("file"), str):
            node["file"] = names.setdefault(node["file"], f"{len(names)}.npy")
    return names
