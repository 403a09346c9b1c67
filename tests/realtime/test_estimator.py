"""Estimators: they answer as where they were made, and no archive makes what it should not."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime import artifact, classifier, estimator
from realtime.errors import ArtifactError, ClassifierError
from realtime.estimator import Estimator, open_archive
from realtime.types import LABELS

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'tonewatch[estimators]'")
skops = pytest.importorskip("skops.io", reason="needs skops: pip install 'tonewatch[estimators]'")

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.realtime.conftest import Tonewatch

MODELS = Path(__file__).parent / "models"
KINDS = ("tiny-forest", "tiny-knn", "tiny-svm")
HERE = Path("model.skops")


def archive_of(kind: str) -> bytes:
    return (MODELS / kind / "model.skops").read_bytes()


def trusted() -> list[str]:
    return sorted(set[str]().union(*estimator.TRUSTED_TYPES.values()))


def altered(kind: str, change: Callable[[Any], object]) -> bytes:
    """Return an archive whose estimator was changed, as somebody might who wants to do harm."""
    model = skops.loads(archive_of(kind), trusted=trusted())
    change(model)
    return bytes(skops.dumps(model))


def rewritten(kind: str, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return an archive whose schema was changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive_of(kind))) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                change(schema)
                content = json.dumps(schema).encode()
            new.writestr(name, content)
    return out.getvalue()


def nodes_of(schema: Any, loader: str) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = [schema] if isinstance(schema, dict) and schema.get("__loader__") == loader else []
    return own + [node for part in inner for node in nodes_of(part, loader)]


def refusal(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        open_archive(data, HERE, {"scikit-learn": "1.2.3"})
    message = str(caught.value)
    assert message.startswith("model.skops: ")
    assert "\n" not in message
    return message


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_answers_as_where_it_was_made(kind: str) -> None:
    model = classifier.load(MODELS / kind)
    assert isinstance(model, Estimator)
    with np.load(MODELS / kind / "expected.npz") as expected:
        features, probabilities = expected["features"], expected["probabilities"]
    found = np.stack([model.predict(row) for row in features])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, probabilities, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert len(set(found.argmax(axis=1))) > 2


def test_says_what_it_is() -> None:
    model = classifier.load(MODELS / "tiny-knn")
    assert (model.name, model.labels, model.window, model.hop) == ("tiny-knn", LABELS, 48_000, 8_000)
    assert model.smoothing.method == "exponential"
    assert model.spec.n_values == 59


def test_temperature_divides_logits() -> None:
    sound = artifact.read(MODELS / "tiny-svm")
    with np.load(MODELS / "tiny-svm" / "expected.npz") as expected:
        row = expected["features"][0]
    plain = Estimator(sound).predict(row).astype(np.float64)
    card = msgspec.structs.replace(sound.card, temperature=2.0)
    warm = Estimator(replace(sound, card=card)).predict(row)
    np.testing.assert_allclose(warm, np.sqrt(plain) / np.sqrt(plain).sum(), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_live(kind: str, tonewatch: Tonewatch) -> None:
    outcome = tonewatch("listen", "--model", MODELS / kind, "--demo", "--fast", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.predictions) > 50


def test_no_package_is_loaded_before_it_is_needed() -> None:
    loads = f"realtime.load({str(MODELS / 'tiny-knn')!r})"
    code = (
        "import sys, realtime, realtime.estimator; "
        f"early = set(sys.modules); {loads}; late = set(sys.modules); "
        "print(*[name for name in ('sklearn', 'skops', 'tflite_runtime', 'ai_edge_litert') "
        "for modules in (early, late) if name in modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sklearn", "skops"]


# --- what is not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "package"), [("sklearn", "scikit-learn"), ("skops.io", "skops")])
def test_without_a_package(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    real = importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name == module:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ClassifierError) as caught:
        classifier.load(MODELS / "tiny-knn")
    assert str(caught.value).startswith(f"this model needs {package}, which is not here")
    assert str(caught.value).endswith("install it: pip install 'tonewatch[estimators]'")
    # Networks are not affected.
    classifier.load(MODELS / "tiny-float32")


# --- archives that hold something else --------------------------------------------------------------------


def test_other_types_are_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    monkeypatch.setattr(skops, "loads", lambda *_args, **_rest: pytest.fail("it was loaded"))
    # Skops itself would trust this one.
    assert "holds a sklearn.linear_model._logistic.LogisticRegression (ObjectNode)" in refusal(
        skops.dumps(LogisticRegression())
    )
    # A function in an attribute of a type that is known.
    assert ".sin (FunctionNode)" in refusal(skops.dumps(KNeighborsClassifier(weights=np.sin)))
    message = refusal(rewritten("tiny-forest", lambda s: nodes_of(s, "TypeNode")[3].update(__module__="os")))
    assert "holds a os.str (TypeNode)" in message
    assert "nothing of it was loaded" in message


def test_a_known_type_by_another_loader_is_refused() -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["__loader__"] = "MethodNode"

    assert "KNeighborsClassifier (MethodNode)" in refusal(rewritten("tiny-knn", change))


def test_a_known_type_at_the_wrong_place_is_refused() -> None:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1])
    tree.n_labels_ = 2
    assert "it holds a sklearn.tree._classes.DecisionTreeClassifier; wanted one of" in refusal(
        skops.dumps(tree)
    )


def test_an_archive_that_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(10_000_000))
    monkeypatch.setattr(estimator, "_N_BYTES", 9_999_999)
    assert len(bomb.getvalue()) < 20_000
    assert "unpacked it takes 10,000,000 bytes; wanted at most 9,999,999" in refusal(bomb.getvalue())


def of_one_member(name: str, content: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all",
        of_one_member("other.json", "{}"),
        of_one_member("schema.json", "no JSON"),
        of_one_member("schema.json", "[" * 100_000),
        of_one_member("schema.json", '{"__loader__": "DictNode"}'),
        of_one_member("schema.json", "[]"),
    ],
)
def test_what_is_no_skops_archive(data: bytes) -> None:
    message = refusal(data)
    assert "not an archive" in message or "not a skops archive" in message or "cannot be opened" in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive(kind: str) -> None:
    data = archive_of(kind)
    assert "not an archive" in refusal(data[: len(data) // 2])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = archive.read("schema.json").decode()
    assert "cannot be opened" in refusal(of_one_member("schema.json", schema))


# --- numbers that would lead compiled code astray ---------------------------------------------------------


def retree(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the forest's archive with the first tree's inner state changed."""

    def alter(model: Any) -> None:
        tree = model.estimators_[0].tree_
        state = tree.__getstate__()
        state["nodes"] = state["nodes"].copy()
        change(state)
        tree.__setstate__(state)

    return altered("tiny-forest", alter)


def set_nodes(name: str, index: int, value: int) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["nodes"][name][index] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_nodes("left_child", 0, 10_000),
        set_nodes("right_child", 0, -7),
        set_nodes("right_child", 0, 0),
        set_nodes("feature", 0, 30),
        set_nodes("feature", 0, -2),
        lambda state: state["values"].fill(np.nan),
    ],
)
def test_a_tree_that_is_none(change: Callable[[dict[str, Any]], object]) -> None:
    assert "a tree's nodes do not make a tree of shares" in refusal(retree(change))


@pytest.mark.parametrize("n_nodes", ["0", "1", "-1"])
def test_a_tree_of_fewer_nodes_than_it_stores(n_nodes: str) -> None:
    def change(schema: dict[str, Any]) -> None:
        for tree in nodes_of(schema, "TreeNode"):
            # A number of its own: others of this value may be meant by the same one.
            tree["content"]["content"]["node_count"].update(content=n_nodes, __id__=f"{id(tree)}")

    assert f"a tree has 30 inputs, 8 classes, {n_nodes} nodes" in refusal(rewritten("tiny-forest", change))


def test_a_tree_of_many_outputs() -> None:
    def change(schema: dict[str, Any]) -> None:
        for tree in nodes_of(schema, "TreeNode"):
            tree["__reduce__"]["args"]["content"][2]["content"] = "1000000"

    assert "a tree has more than one output" in refusal(rewritten("tiny-forest", change))


def test_one_number_for_two_objects() -> None:
    def change(schema: dict[str, Any]) -> None:
        first, *_, last = (tree["__reduce__"]["args"]["content"][2] for tree in nodes_of(schema, "TreeNode"))
        first["__id__"] = last["__id__"] = "both"
        nodes_of(schema, "JsonNode")[0].update(__id__="both", content="7")

    assert "two objects have one number" in refusal(rewritten("tiny-forest", change))


def store(name: str, value: object) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value)


@pytest.mark.parametrize(
    ("kind", "change", "wanted"),
    [
        ("tiny-forest", store("estimators_", []), "the forest has no trees"),
        ("tiny-forest", store("n_features_in_", 29), "a tree has 30 inputs, 8 classes"),
        ("tiny-knn", store("classes_", np.arange(1, 9)), "its classes are [1, 2, 3, 4, 5, 6, 7, 8]"),
        ("tiny-knn", store("classes_", np.arange(8)[::-1]), "wanted some of 0 to 7, ascending"),
        ("tiny-knn", store("classes_", "abc"), "classes_ is <class 'str'>; wanted i"),
        ("tiny-knn", lambda m: m._y.fill(8), "classes up to 8; wanted fewer"),
        ("tiny-knn", lambda m: m._y.fill(-1), "classes up to -1; wanted fewer"),
        ("tiny-knn", lambda m: m._fit_X.fill(np.inf), "_fit_X holds values that are not finite"),
        ("tiny-knn", store("_fit_X", np.zeros((3, 30))), "_fit_X is float64 of shape (3, 30); wanted f of"),
        ("tiny-knn", store("n_neighbors", 10_000), "10000 neighbours"),
        ("tiny-knn", store("effective_metric_", "cosine"), "metric cosine"),
        (
            "tiny-svm",
            store("dual_coef_", np.zeros((7, 2))),
            "dual_coef_ is float64 of shape (7, 2); wanted f",
        ),
        ("tiny-svm", store("_n_support", np.zeros(8, np.int32)), "support_vectors_ is float64 of shape"),
        (
            "tiny-svm",
            store("intercept_", np.zeros(8)),
            "intercept_ is float64 of shape (8,); wanted f of shape",
        ),
        ("tiny-svm", store("kernel", "poly"), "kernel poly"),
        ("tiny-svm", store("gamma", "scale"), "could not convert string to float"),
        ("tiny-svm", lambda m: delattr(m, "n_labels_"), "n_labels_"),
    ],
)
def test_numbers_that_do_not_fit(kind: str, change: Callable[[Any], object], wanted: str) -> None:
    message = refusal(altered(kind, change))
    assert "cannot be opened" in message
    assert wanted in message
    # Such things come of other versions too, so the message says which they are.
    assert (
        f"made with scikit-learn 1.2.3, this is {sklearn.__version__}: pip install 'scikit-learn==1.2.3'"
        in message
    )


# --- other versions ---------------------------------------------------------------------------------------


def test_another_version_that_answers_alike_is_taken(
    recwarn: pytest.WarningsRecorder, tmp_path: Path
) -> None:
    def change(schema: dict[str, Any]) -> None:
        for node in nodes_of(schema, "DictNode"):
            if "_sklearn_version" in node["content"]:
                node["content"]["_sklearn_version"]["content"] = '"1.5.0"'

    sound = artifact.read(MODELS / "tiny-knn")
    data = rewritten("tiny-knn", change)
    assert b"1.5.0" in data
    card = artifact.write(
        tmp_path / "m", card=sound.card, preprocessing=sound.preprocessing, model=data, probe=sound.probe
    )
    assert card.runtime == "skops"
    classifier.load(tmp_path / "m")
    assert not recwarn.list


def test_answers_that_differ_from_the_probe() -> None:
    sound = artifact.read(MODELS / "tiny-svm")
    assert sound.probe is not None
    Estimator(replace(sound, probe=replace(sound.probe, probabilities=sound.probe.probabilities + 0.9e-5)))
    off = replace(sound.probe, probabilities=sound.probe.probabilities + 2e-5)
    training = msgspec.structs.replace(sound.card.training, versions={"scikit-learn": "1.2.3"})
    card = msgspec.structs.replace(sound.card, training=training)
    wanted = (
        r"differ from its probe's by 2e-05; wanted at most 1e-05; made with scikit-learn 1\.2\.3, this is"
    )
    with pytest.raises(ArtifactError, match=wanted):
        Estimator(replace(sound, card=card, probe=off))
    with pytest.raises(ArtifactError, match=r"model\.skops: it comes without a probe"):
        Estimator(replace(sound, probe=None))


def test_a_card_that_says_something_else() -> None:
    sound = artifact.read(MODELS / "tiny-knn")
    card = msgspec.structs.replace(sound.card, labels=["neutral", "calm"], n_selected=29)
    with pytest.raises(ArtifactError, match=r"takes 30 values for 8 labels; wanted 29 for 2, which the card"):
        Estimator(replace(sound, card=card))


def test_a_tampered_archive_is_refused_by_its_checksum(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODELS / "tiny-knn", tmp_path / "m"))
    (folder / "model.skops").write_bytes(archive_of("tiny-svm"))
    with pytest.raises(ArtifactError, match=r"model\.skops: its SHA-256 is"):
        classifier.load(folder)
