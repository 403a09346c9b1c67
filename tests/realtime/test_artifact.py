"""Artifacts: what is written comes back, and what was cut, changed or mixed up is refused by name."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from realtime import artifact
from realtime.errors import ArtifactError, UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = Path(__file__).parent / "models" / "tiny-float32"
FOREST = TINY.parent / "tiny-forest"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the card, as someone would by hand."""
    path = folder / artifact.CARD_FILE
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def repack(folder: Path, **arrays: npt.NDArray[Any] | None) -> None:
    """Change arrays of the preprocessing, and the checksum with them, as a broken program would."""
    path = folder / artifact.PREPROCESS_FILE
    with np.load(path) as archive:
        kept = {name: archive[name] for name in archive.files}
    kept |= {name: array for name, array in arrays.items() if array is not None}
    for name, array in arrays.items():
        if array is None:
            del kept[name]
    np.savez(path, **kept)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(folder, lambda card: card["sha256"].update({artifact.PREPROCESS_FILE: digest}))


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        artifact.read(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_written_comes_back(model: Path, tmp_path: Path) -> None:
    first = artifact.read(model)
    again = tmp_path / "again"
    card = artifact.write(again, card=first.card, preprocessing=first.preprocessing, model=first.model)
    second = artifact.read(again)
    assert second.card == card
    # Filters may differ in their last bits from one NumPy to another, and checksums with them.
    assert msgspec.structs.replace(card, sha256=first.card.sha256) == first.card
    assert second.spec == first.spec
    assert second.model == first.model
    for name in ("selected", "mean", "scale"):
        np.testing.assert_array_equal(getattr(second.preprocessing, name), getattr(first.preprocessing, name))
    names = {path.name for path in again.iterdir()}
    assert names == {artifact.MODEL_FILE, artifact.PREPROCESS_FILE, artifact.CARD_FILE}
    # The same model makes the same bytes, whenever it is written.
    third = tmp_path / "third"
    artifact.write(third, card=first.card, preprocessing=first.preprocessing, model=first.model)
    for name in names:
        assert (third / name).read_bytes() == (again / name).read_bytes()


def test_preprocessing_selects_and_scales() -> None:
    preprocessing = artifact.Preprocessing(
        np.array([2, 0]), np.array([1, 2], np.float32), np.array([2, 4], np.float32)
    )
    out = preprocessing(np.array([10, 20, 5], np.float32))
    assert out.dtype == np.float32
    assert out.tolist() == [2, 2]


@pytest.mark.parametrize("name", [artifact.MODEL_FILE, artifact.PREPROCESS_FILE, artifact.CARD_FILE])
def test_a_missing_file(model: Path, name: str) -> None:
    (model / name).unlink()
    assert name in refusal(model)
    assert "No such file" in refusal(model)


@pytest.mark.parametrize("name", [artifact.MODEL_FILE, artifact.PREPROCESS_FILE, artifact.CARD_FILE])
def test_a_truncated_file(model: Path, name: str) -> None:
    path = model / name
    path.write_bytes(path.read_bytes()[:-20])
    assert name in refusal(model)


@pytest.mark.parametrize("name", [artifact.MODEL_FILE, artifact.PREPROCESS_FILE])
def test_a_tampered_file(model: Path, name: str) -> None:
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    message = refusal(model)
    assert name in message
    assert "SHA-256" in message


def test_files_of_two_models(model: Path) -> None:
    shutil.copy(TINY.parent / "tiny-int8" / artifact.MODEL_FILE, model)
    assert "SHA-256" in refusal(model)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda c: c.update(format_version=3), "format_version is 3, this program reads up to 2"),
        (lambda c: c.update(format_version=3, new_key=1), "install a newer tonewatch"),
        (lambda c: c.update(format_version=0), "format_version is 0; wanted 1 to 2"),
        (lambda c: c.update(format_version="1"), "not a model card"),
        (lambda c: c.update(lables=[]), "unknown field `lables`"),
        (lambda c: c.pop("window"), "missing required field `window`"),
        (lambda c: c.update(window="3 s"), "not a model card"),
        (lambda c: c.update(labels=["sad", "happy"]), "labels is ['sad', 'happy']; wanted ['happy', 'sad']"),
        (lambda c: c.update(labels=["joy"]), "labels is ['joy']; wanted []"),
        (lambda c: c.update(n_features=7), "n_features is 7; wanted 59"),
        (lambda c: c.update(n_selected=7), "selected is int64 of shape (30,); wanted int64 of shape (7,)"),
        (lambda c: c.update(input_shape=[1, 3]), "input_shape is [1, 3]; wanted [1, 30]"),
        (lambda c: c.update(output_shape=[1, 3]), "output_shape is [1, 3]; wanted [1, 8]"),
        (lambda c: c.update(hop=150), "wanted multiples of the frame hop, 400"),
        (lambda c: c.update(temperature=0), "a positive temperature"),
        (lambda c: c.update(adaptation={"prior_s": 0, "memory_s": 9}), "wanted both above 0"),
        (
            lambda c: c.update(adaptation={"prior_s": 9, "memory_s": 9, "logit_adjustment": 1.5}),
            "logit_adjustment 1.5, label_prior_s 30.0; wanted 0 to 1",
        ),
        (
            lambda c: c.update(adaptation={"prior_s": 9, "memory_s": 9, "logit_adjustement": 1.0}),
            "unknown field `logit_adjustement`",
        ),
        (lambda c: c["smoothing"].update(alpha=0), "wanted alpha above 0"),
        (lambda c: c["features"].update(sampel_rate=1), "did you mean 'sample_rate'"),
        (lambda c: c["features"].update(frame_hop=0), "frame_hop is 0"),
        (lambda c: c.update(sha256={}), "wants none"),
        (lambda c: c.update(runtime="onnx"), "not a model card: Invalid enum value 'onnx'"),
        (lambda c: c.update(runtime="skops"), "model.skops: No such file"),
    ],
)
def test_a_card_that_contradicts_itself(
    model: Path, change: Callable[[dict[str, Any]], object], wanted: str
) -> None:
    rewrite(model, change)
    assert wanted in refusal(model)


def test_a_card_that_is_no_json(model: Path) -> None:
    (model / artifact.CARD_FILE).write_text("card")
    assert "not a model card" in refusal(model)


def test_preprocessing_that_does_not_fit(model: Path) -> None:
    n = artifact.read(model).card.n_selected
    repack(model, selected=np.full(n, 59))
    assert "selected runs from 59 to 59; wanted indices of the 59 features" in refusal(model)
    repack(model, selected=np.arange(n), scale=np.zeros(n, np.float32))
    assert "no positive scale" in refusal(model)
    repack(model, scale=np.ones(n, np.float32), mean=np.full(n, np.nan, np.float32))
    assert "not finite" in refusal(model)
    repack(model, mean=None)
    assert "mean is nothing; wanted float32" in refusal(model)


def test_preprocessing_made_for_other_filters(model: Path) -> None:
    with np.load(model / artifact.PREPROCESS_FILE) as archive:
        bank = archive["mel_40_0_0"]
    repack(model, mel_40_0_0=bank * 1.1)
    assert "the filterbank mel_40_0_0 is other values" in refusal(model)
    repack(model, mel_40_0_0=None)
    assert "the filterbank mel_40_0_0 is nothing" in refusal(model)


def test_pickles_are_never_loaded(model: Path) -> None:
    repack(model, mean=np.array([{"a": 1}], dtype=object))
    assert "not an archive of arrays" in refusal(model)


def test_what_would_be_refused_is_not_written(tmp_path: Path) -> None:
    sound = artifact.read(TINY)
    card = msgspec.structs.replace(sound.card, input_shape=[1, 5])
    with pytest.raises(ArtifactError, match=r"input_shape is \[1, 5\]"):
        artifact.write(tmp_path / "new", card=card, preprocessing=sound.preprocessing, model=sound.model)
    assert not (tmp_path / "new").exists()


# --- cards of other versions, and all that a card may say -------------------------------------------------


def test_a_card_of_version_1_is_read() -> None:
    written = json.loads((TINY / artifact.CARD_FILE).read_text())
    assert written["format_version"] == 1
    assert not {"runtime", "exports"} & set(written)
    card = artifact.read(TINY).card
    assert card.format_version == artifact.FORMAT_VERSION == 2
    assert (card.runtime, card.exports) == ("tflite", {})
    assert (card.training.labels, card.training.recipe_sha256) == ({}, "")


def test_everything_that_a_card_says_comes_back(tmp_path: Path) -> None:
    sound = artifact.read(TINY)
    figures = ("accuracy", "uar", "macro_f1", "ece")
    scores = artifact.Scores(
        n=10,
        n_unheard=1,
        accuracy=0.7,
        uar=0.65,
        macro_f1=0.6,
        ece=0.05,
        confusion=np.eye(8, dtype=int).tolist(),
        n_seeds=3,
        sd=dict.fromkeys(figures, 0.01),
        ci95=dict.fromkeys(figures, (0.5, 0.8)),
        classes={"happy": artifact.ClassScores(n=4, precision=0.5, recall=0.25, f1=1 / 3)},
    )
    card = msgspec.structs.replace(
        sound.card,
        scores={"cross/ravdess-nemo/four/adapted": {"clips": {"all": scores}}},
        exports={"int8": artifact.Export(n_bytes=1, parity=0.03, accuracy=0.5, uar=0.4)},
        training=msgspec.structs.replace(
            sound.card.training, labels={"RAVDESS": ["neutral"]}, recipe_sha256="ab" * 32
        ),
    )
    artifact.write(tmp_path / "m", card=card, preprocessing=sound.preprocessing, model=sound.model)
    again = artifact.read(tmp_path / "m").card
    assert msgspec.structs.replace(again, sha256=card.sha256) == card


def test_estimators_see_no_frames() -> None:
    frames = artifact.read(TINY.parent / "tiny-frames")
    probe = artifact.Probe(np.zeros((1, 33), np.float32), np.zeros((1, 8), np.float32))
    card = msgspec.structs.replace(frames.card, runtime="skops")
    with pytest.raises(ArtifactError, match=r"runtime is skops, features are frames, .* wanted pooled"):
        artifact.write(Path("nowhere"), card=card, preprocessing=frames.preprocessing, model=b"", probe=probe)


# --- estimators -------------------------------------------------------------------------------------------


def test_an_estimators_folder(tmp_path: Path) -> None:
    first = artifact.read(FOREST)
    assert first.model_path == FOREST / "model.skops"
    assert first.probe is not None
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    artifact.write(
        folder, card=first.card, preprocessing=first.preprocessing, model=first.model, probe=first.probe
    )
    # The network that was there before would only be taken for the model.
    assert {path.name for path in folder.iterdir()} == {
        "model.skops",
        "preprocess.npz",
        "card.json",
        "expected.npz",
    }
    second = artifact.read(folder)
    assert second.probe is not None
    np.testing.assert_array_equal(second.probe.inputs, first.probe.inputs)
    np.testing.assert_array_equal(second.probe.probabilities, first.probe.probabilities)
    with pytest.raises(ArtifactError, match="probe_inputs is nothing; wanted float32 of shape"):
        artifact.write(
            tmp_path / "new", card=first.card, preprocessing=first.preprocessing, model=first.model
        )


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"probe_inputs": None}, "probe_inputs is nothing"),
        ({"probe_inputs": np.float32(1)}, "probe_inputs is float32 of shape ()"),
        ({"probe_inputs": np.zeros((0, 30), np.float32)}, "wanted float32 of shape (1, 30)"),
        ({"probe_inputs": np.zeros((2, 3), np.float32)}, "wanted float32 of shape (2, 30)"),
        (
            {"probe_probabilities": np.zeros((3, 8), np.float32)},
            "probe_probabilities is float32 of shape (3, 8)",
        ),
        (
            {"probe_probabilities": np.full((16, 8), np.nan, np.float32)},
            "the probe holds values that are not",
        ),
    ],
)
def test_a_probe_that_does_not_fit(
    tmp_path: Path, arrays: dict[str, npt.NDArray[Any] | None], wanted: str
) -> None:
    folder = Path(shutil.copytree(FOREST, tmp_path / "model"))
    repack(folder, **arrays)
    assert wanted in refusal(folder)


# --- archives that would fill the memory ------------------------------------------------------------------


def test_preprocessing_that_would_fill_the_memory(model: Path) -> None:
    with zipfile.ZipFile(model / artifact.PREPROCESS_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("selected.npy", bytes((1 << 26) + 1))
    data = (model / artifact.PREPROCESS_FILE).read_bytes()
    assert len(data) < 100_000
    digest = hashlib.sha256(data).hexdigest()
    rewrite(model, lambda card: card["sha256"].update({artifact.PREPROCESS_FILE: digest}))
    assert "unpacked it takes 67,108,865 bytes; wanted at most 67,108,864" in refusal(model)


def test_an_array_that_says_it_is_larger_than_it_is(model: Path) -> None:
    empty = io.BytesIO()
    np.save(empty, np.zeros(0, np.int64))
    # In a header of fixed length, padded with spaces.
    large = empty.getvalue().replace(b"(0,), }" + b" " * 16, b"(%d,), }" % (1 << 56))
    assert large != empty.getvalue()
    with zipfile.ZipFile(model / artifact.PREPROCESS_FILE, "w") as archive:
        archive.writestr("selected.npy", large)
    digest = hashlib.sha256((model / artifact.PREPROCESS_FILE).read_bytes()).hexdigest()
    rewrite(model, lambda card: card["sha256"].update({artifact.PREPROCESS_FILE: digest}))
    assert "not an archive of arrays" in refusal(model)


# --- disks that refuse ------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def overwrite(folder: Path) -> str:
    """Try to write the forest over what is in a folder, and return why it cannot be."""
    new = artifact.read(FOREST)
    with pytest.raises(ArtifactError) as caught:
        artifact.write(
            folder, card=new.card, preprocessing=new.preprocessing, model=new.model, probe=new.probe
        )
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("number", "name"), [(1, "model.skops"), (2, artifact.PREPROCESS_FILE), (3, artifact.CARD_FILE)]
)
def test_a_full_disk(model: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str) -> None:
    left = [number]
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    before = contents(model)
    monkeypatch.setattr(os, "fsync", fail)
    message = overwrite(model)
    assert message == (
        f"{model / name}: cannot be written: No space left on device; nothing was changed: "
        "make room, or choose another folder, and write the model again"
    )
    assert contents(model) == before
    left[0] = number
    # Nor is a folder left that was made for nothing.
    overwrite(model.parent / "new")
    assert not (model.parent / "new").exists()


def test_a_file_that_grows_too_large(model: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs Unix's limits")
    before = contents(model)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        message = overwrite(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "model.skops: cannot be written: File too large; nothing was changed" in message
    assert contents(model) == before


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}: cannot be written: File exists" in overwrite(tmp_path / "file")
    assert (tmp_path / "file").read_text() == ""
    assert "cannot be written: File name too long; nothing was changed" in overwrite(tmp_path / (300 * "x"))


def test_a_disk_that_fails_at_the_worst_of_moments(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target.name == artifact.PREPROCESS_FILE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(self, target)

    new = artifact.read(TINY)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ArtifactError, match=r"Input/output error; the folder holds parts of two models"):
        artifact.write(model, card=new.card, preprocessing=new.preprocessing, model=b"other")
    # What is mixed does not look sound.
    assert "SHA-256" in refusal(model)
    assert not list(model.glob(".*"))


# --- the models there are ---------------------------------------------------------------------------------


def test_models_are_found_by_name_and_by_path(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "model_folders", lambda: (tmp_path,))
    assert artifact.model_names() == ("model",)
    assert artifact.find("model") == model
    assert artifact.find(str(model)) == model
    assert artifact.find(model) == model
    with pytest.raises(UnknownModelError, match=r"no model 'mdel'; there are: model\. Give"):
        artifact.find("mdel")
    with pytest.raises(UnknownModelError, match=r"no model '\.\./model'"):
        artifact.find("../model")


@pytest.mark.parametrize("name", artifact.model_names())
def test_the_models_that_come_with_the_program_are_sound(name: str) -> None:
    shipped = artifact.read(artifact.find(name))
    assert shipped.card.name == name
    assert shipped.spec.n_values == shipped.card.n_features == len(set(shipped.spec.names()))
    assert len(shipped.model) < 2_000_000
    for protocol in ("random", "speaker"):
        for unit in ("clips", "windows"):
            for part in ("all", "speech", "song"):
                scores = shipped.card.scores[protocol][unit][part]
                confusion = np.array(scores.confusion)
                # Of each seed's models there is a matrix, and they are added up.
                n = scores.n * scores.n_seeds
                assert confusion.sum() + scores.n_unheard * scores.n_seeds == n
                assert scores.accuracy == pytest.approx(np.trace(confusion) / n, abs=1e-4)


def test_the_default_model_is_there() -> None:
    assert artifact.DEFAULT_MODEL in artifact.model_names()
