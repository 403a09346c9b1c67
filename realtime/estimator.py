"""Scikit-learn's estimators, ready to judge windows: the one place that touches skops and scikit-learn.

Both are imported when the first such model is loaded, to read its archive; `realtime.voting` then runs it.
Archives hold no pickle, but they name the types that are made of them: none but those that the known
estimators consist of is made, and no number in them is believed that would lead compiled code astray.
"""

from __future__ import annotations

import importlib
import io
import json
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime.errors import ArtifactError, ClassifierError
from realtime.loaded import LoadedModel
from realtime.preprocessing import check_unpacked_size
from realtime.voting import Forest, Margins, Neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from realtime.artifact import Artifact
    from realtime.types import FloatArray
    from realtime.voting import IntArray, Voter

PROBE_TOLERANCE = 1e-5
"""Largest difference of a probability from the probe's."""
_N_BYTES = 1 << 30
"""Of an archive, unpacked, at most: a forest of 200 deep trees on 36,000 windows takes a quarter of it."""
_PACKAGES = {"sklearn": "scikit-learn", "skops.io": "skops"}
_FOREST = "sklearn.ensemble._forest.RandomForestClassifier"
_NEIGHBOURS = "sklearn.neighbors._classification.KNeighborsClassifier"
_SVM = "sklearn.svm._classes.SVC"
_TREE = "sklearn.tree._tree.Tree"
TRUSTED_TYPES: dict[str, frozenset[str]] = {
    "ObjectNode": frozenset({_FOREST, _NEIGHBOURS, _SVM, "sklearn.tree._classes.DecisionTreeClassifier"}),
    "TreeNode": frozenset({_TREE}),
    "NdArrayNode": frozenset(
        {"numpy.ndarray", "numpy.float32", "numpy.float64", "numpy.int32", "numpy.int64"}
    ),
    "DictNode": frozenset({"builtins.dict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "JsonNode": frozenset({"builtins.str"}),
    "TypeNode": frozenset({"builtins.str"}),
}
"""What an archive may hold: types by the loader of skops's that makes them. Everything else is refused."""


class Estimator(LoadedModel):
    """Judges feature windows with an artifact's estimator.

    Parameters
    ----------
    source
        A model that `realtime.artifact.read` has checked.

    Raises
    ------
    ClassifierError
        Where scikit-learn or skops is not installed.
    ArtifactError
        Where the archive holds what no estimator needs, cannot be read by the scikit-learn that is installed,
        or answers its probe otherwise than where it was made.
    """

    def __init__(self, source: Artifact) -> None:
        super().__init__(source)
        card, path = source.card, source.model_path
        opened = open_archive(source.model, path, card.training.versions)
        found, wanted = (opened.n_inputs, opened.n_labels), (card.n_selected, len(card.labels))
        if found != wanted:
            raise ArtifactError(
                f"{path}: it takes {found[0]} values for {found[1]} labels; "
                f"wanted {wanted[0]} for {wanted[1]}, which the card says"
            )
        self._vote = opened.vote
        if source.probe is None:
            raise ArtifactError(f"{path}: it comes without a probe; wanted one for an estimator")
        difference = np.abs(self._vote(source.probe.inputs) - source.probe.probabilities).max()
        if not difference <= PROBE_TOLERANCE:
            raise ArtifactError(
                f"{path}: its answers differ from its probe's by {difference:.2g}; "
                f"wanted at most {PROBE_TOLERANCE:g}; {_version_note(card.training.versions)}"
            )

    def _run(self, row: FloatArray) -> FloatArray:
        return self._vote(row)


@dataclass(frozen=True, slots=True)
class Opened:
    """An estimator, read from its archive.

    Parameters
    ----------
    vote
        Judges rows as the estimator does.
    n_inputs
        Length of a row.
    n_labels
        Number of labels; the estimator's classes are some of them, by number.
    """

    vote: Voter
    n_inputs: int
    n_labels: int


def open_archive(data: bytes, path: Path, versions: Mapping[str, str]) -> Opened:
    """Return what judges rows as the estimator in a skops archive does.

    Parameters
    ----------
    data
        The archive.
    path
        Its file, for messages.
    versions
        Packages that made the archive, with their versions, for messages.

    Raises
    ------
    ClassifierError
        Where scikit-learn or skops is not installed.
    ArtifactError
        Where the archive cannot be read, or holds what no estimator needs.
    """
    check_unpacked_size(path, data, _N_BYTES)
    _check_types(path, data)
    skops = _import_packages()["skops.io"]
    try:
        with warnings.catch_warnings():
            # Another version of scikit-learn is not to be guessed about: the probe tells what it makes of it.
            warnings.simplefilter("ignore")
            model = skops.loads(data, trusted=sorted(set().union(*TRUSTED_TYPES.values())))
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        if kind not in _OPENERS:
            raise TypeError(f"it holds a {kind}; wanted one of {', '.join(_OPENERS)}")  # noqa: TRY301
        n_inputs, n_labels = int(model.n_features_in_), int(model.n_labels_)
        return Opened(_OPENERS[kind](model, n_inputs, n_labels), n_inputs, n_labels)
    except Exception as error:
        # What a damaged archive, or one of another version, makes the packages raise has no bounds.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ArtifactError(f"{path}: cannot be opened: {reason}; {_version_note(versions)}") from error


def _import_packages() -> dict[str, Any]:
    modules = {}
    for module, package in _PACKAGES.items():
        try:
            modules[module] = importlib.import_module(module)
        except ImportError as error:
            raise ClassifierError(
                f"this model needs {package}, which is not here ({error}); "
                "install it: pip install 'tonewatch[estimators]'"
            ) from None
    return modules


def _version_note(versions: Mapping[str, str]) -> str:
    made_with = versions.get("scikit-learn", "of an unknown version")
    here = importlib.import_module("sklearn").__version__
    remedy = "train it again" if made_with == here else f"pip install 'scikit-learn=={made_with}'"
    if "scikit-learn" not in versions:
        remedy = "train it again"
    return f"made with scikit-learn {made_with}, this is {here}: {remedy}"


def _check_types(path: Path, data: bytes) -> None:
    """Refuse an archive that names a type which the known estimators do not consist of.

    Skops's own check comes later; it lets pass all of scikit-learn and much of NumPy and SciPy.
    """
    seen: dict[object, object] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            nodes = [json.loads(archive.read("schema.json"))]
        while nodes:
            node = nodes.pop()
            nodes += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            if not (isinstance(node, dict) and "__loader__" in node):
                continue
            loader, found = str(node["__loader__"]), f"{node['__module__']}.{node['__class__']}"
            if found not in TRUSTED_TYPES.get(loader, ()):
                raise ArtifactError(
                    f"{path}: it holds a {found} ({loader}), which no estimator of Tonewatch's needs; "
                    "nothing of it was loaded: take the model from a source that you trust"
                )
            # Of nodes with one number, skops makes the first alone; what is checked must be what is made.
            held = node if loader in {"JsonNode", "TupleNode"} else (loader, found)
            if seen.setdefault(node.get("__id__", id(node)), held) != held:
                raise ValueError("two objects have one number")  # noqa: TRY301
            # Compiled code reads as many class counts as this says, without looking how many there are.
            if loader == "TreeNode" and node["__reduce__"]["args"]["content"][2]["content"] != "1":
                raise ValueError("a tree has more than one output")  # noqa: TRY301
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        RecursionError,
        OSError,
        zipfile.BadZipFile,
    ) as error:
        raise ArtifactError(f"{path}: not a skops archive: {error}") from None


def _open_forest(model: Any, n_inputs: int, n_labels: int) -> Voter:  # noqa: ANN401 - scikit-learn's
    classes = _classes(model, n_labels)
    trees = tuple(estimator.tree_ for estimator in model.estimators_)
    if not trees:
        raise ValueError("the forest has no trees")
    for tree in trees:
        _check_tree(tree, n_inputs, len(classes))
    return Forest(trees, n_inputs, classes, n_labels)


def _check_tree(tree: Any, n_inputs: int, n_classes: int) -> None:  # noqa: ANN401 - scikit-learn's
    """Refuse a tree that leads out of its nodes or inputs, or in a circle: `predict` would follow it."""
    found = (tree.n_features, tree.max_n_classes, tree.node_count)
    if found != (n_inputs, n_classes, tree.capacity) or not tree.capacity:
        raise ValueError(
            f"a tree has {found[0]} inputs, {found[1]} classes, {found[2]} nodes; "
            f"wanted {n_inputs}, {n_classes}, {tree.capacity}"
        )
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    place = np.arange(tree.node_count)
    is_leaf = left == -1
    is_sound = (left > place) & (left < len(place)) & (right > place) & (right < len(place))
    is_sound &= (feature >= 0) & (feature < n_inputs)
    if not (is_leaf | is_sound).all() or not np.allclose(tree.value.sum(axis=-1), 1, rtol=0, atol=1e-6):
        raise ValueError("a tree's nodes do not make a tree of shares")


def _open_neighbours(model: Any, n_inputs: int, n_labels: int) -> Voter:  # noqa: ANN401 - scikit-learn's
    classes = _classes(model, n_labels)
    n_stored = len(model._y)  # noqa: SLF001 - stored under no other name, as are the rows
    stored = _take(model, "_fit_X", "f", (n_stored, n_inputs)).astype(np.float32)
    labels = _take(model, "_y", "i", (n_stored,)).astype(np.int64)
    if (model.effective_metric_, model.weights in {"uniform", "distance"}) != ("euclidean", True):
        raise ValueError(
            f"metric {model.effective_metric_}, weights {model.weights}; wanted euclidean, known ones"
        )
    if not (1 <= model.n_neighbors <= n_stored and labels.min() >= 0 and labels.max() < len(classes)):
        raise ValueError(f"{model.n_neighbors} neighbours, classes up to {labels.max()}; wanted fewer")
    squares = np.square(stored).sum(axis=1)
    by_distance = model.weights == "distance"
    return Neighbours(stored, squares, labels, int(model.n_neighbors), by_distance, classes, n_labels)


def _open_svm(model: Any, n_inputs: int, n_labels: int) -> Voter:  # noqa: ANN401 - scikit-learn's
    classes = _classes(model, n_labels)
    n_each = _take(model, "n_support_", "i", (len(classes),))
    n, m = int(n_each.sum()), len(classes)
    # In double precision: rounding adds up over thousands of vectors, otherwise on every machine.
    vectors = _take(model, "support_vectors_", "f", (n, n_inputs)).astype(np.float64)
    dual = _take(model, "dual_coef_", "f", (m - 1, n))
    intercepts = _take(model, "intercept_", "f", (m * (m - 1) // 2,))
    if m == 2:  # noqa: PLR2004 - of two classes, scikit-learn turns the sign round
        dual, intercepts = -dual, -intercepts
    if model.kernel not in {"rbf", "linear"} or n_each.min() < 0:
        raise ValueError(
            f"kernel {model.kernel}, {n_each.tolist()} vectors; wanted rbf or linear, no fewer than 0"
        )
    gamma = None if model.kernel == "linear" else float(model.gamma)
    # Vectors come class by class. For the pair i < j, those of i stand in row j - 1, those of j in row i.
    of_class = np.repeat(np.arange(m), n_each)
    pairs = [
        np.where(of_class == i, dual[j - 1], 0) + np.where(of_class == j, dual[i], 0)
        for i in range(m)
        for j in range(i + 1, m)
    ]
    return Margins(
        vectors=vectors,
        squares=np.square(vectors).sum(axis=1),
        coefficients=np.stack(pairs, axis=1),
        intercepts=intercepts,
        gamma=gamma,
        classes=classes,
        n_labels=n_labels,
    )


_OPENERS: dict[str, Callable[[Any, int, int], Voter]] = {
    _FOREST: _open_forest,
    _NEIGHBOURS: _open_neighbours,
    _SVM: _open_svm,
}


def _classes(model: Any, n_labels: int) -> IntArray:  # noqa: ANN401 - scikit-learn's
    classes = _take(model, "classes_", "i", (len(model.classes_),)).astype(np.int64)
    if not (len(classes) and classes[0] >= 0 and classes[-1] < n_labels and (np.diff(classes) > 0).all()):
        raise ValueError(f"its classes are {classes.tolist()}; wanted some of 0 to {n_labels - 1}, ascending")
    return classes


def _take(model: Any, name: str, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:  # noqa: ANN401
    """Return an array of the estimator's: of finite floats (`f`) or of integers (`i`), of this shape."""
    array = getattr(model, name)
    if not isinstance(array, np.ndarray) or array.dtype.kind != kind or array.shape != shape:
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array)
        raise ValueError(f"{name} is {found}; wanted {kind} of shape {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array
