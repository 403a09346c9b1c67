"""Artifacts: what is written comes back, and what was cut, changed or mixed up is refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
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
        (lambda c: c.update(format_version=2), "format_version is 2, this program reads up to 1"),
        (lambda c: c.update(format_version=2, new_key=1), "install a newer tonewatch"),
        (lambda c: c.update(format_version=0), "format_version is 0; wanted 1"),
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
        (lambda c: c["smoothing"].update(alpha=0), "wanted alpha above 0"),
        (lambda c: c["features"].update(sampel_rate=1), "did you mean 'sample_rate'"),
        (lambda c: c["features"].update(frame_hop=0), "frame_hop is 0"),
        (lambda c: c.update(sha256={}), "wants none"),
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


def test_the_default_model_is_there_and_sound() -> None:
    shipped = artifact.read(artifact.find(artifact.DEFAULT_MODEL))
    assert shipped.card.name == artifact.DEFAULT_MODEL
    assert shipped.spec.n_values == shipped.card.n_features == 392
    assert len(set(shipped.spec.names())) == 392
    assert len(shipped.model) < 2_000_000
    for protocol in ("random", "speaker"):
        for unit in ("clips", "windows", "rooms"):
            for part in ("all", "speech", "song"):
                scores = shipped.card.scores[protocol][unit][part]
                confusion = np.array(scores.confusion)
                assert confusion.sum() + scores.n_unheard == scores.n
                assert scores.accuracy == pytest.approx(np.trace(confusion) / scores.n, abs=1e-4)
