from __future__ import annotations

import json
import zipfile
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from realtime.errors import ArtifactError
from training.report import load_data, save_data
from training.report.storage import ARRAYS_FILE, TEXT_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from training.report import ReportData


def assert_same(found: Any, wanted: Any) -> None:
    """Compare everything, arrays by their bits, whatever fields there will be."""
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        assert found.tobytes() == wanted.tobytes()
    elif is_dataclass(wanted):
        for entry in fields(wanted):
            assert_same(getattr(found, entry.name), getattr(wanted, entry.name))
    elif isinstance(wanted, tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    else:
        assert found == wanted


@pytest.fixture
def saved(small: ReportData, tmp_path: Path) -> Path:
    save_data(small, tmp_path)
    return tmp_path


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / TEXT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_comes_back_the_same(made_up: ReportData, tmp_path: Path) -> None:
    paths = save_data(made_up, tmp_path)
    assert paths == (tmp_path / TEXT_FILE, tmp_path / ARRAYS_FILE)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([TEXT_FILE, ARRAYS_FILE])
    assert_same(load_data(tmp_path), made_up)


def test_what_is_optional_may_be_absent(small: ReportData, tmp_path: Path) -> None:
    bare = replace(
        small,
        history=(),
        judged=replace(small.judged, intervals=None, unit="clips"),
        features=replace(small.features, importances=None, importance_method=""),
        embedding=None,
        settings=(),
    )
    save_data(bare, tmp_path)
    assert_same(load_data(tmp_path), bare)


def test_the_same_data_give_the_same_bytes(small: ReportData, tmp_path: Path) -> None:
    one, other = save_data(small, tmp_path / "one"), save_data(load_data(tmp_path / "one"), tmp_path / "two")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    with zipfile.ZipFile(one[1]) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_there_is_no_pickle(saved: Path) -> None:
    with np.load(saved / ARRAYS_FILE, allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fib" for name in archive.files)


def test_refuses_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"report-data\.json: No such file.*train again"):
        load_data(tmp_path)


def test_refuses_arrays_that_were_changed(saved: Path) -> None:
    content = bytearray((saved / ARRAYS_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / ARRAYS_FILE).write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="its SHA-256 is"):
        load_data(saved)


def test_refuses_what_is_no_archive(saved: Path) -> None:
    import hashlib

    (saved / ARRAYS_FILE).write_bytes(b"nothing")
    rewrite(saved, sha256=hashlib.sha256(b"nothing").hexdigest())
    with pytest.raises(ArtifactError, match="not an archive of arrays"):
        load_data(saved)


def test_refuses_another_version(saved: Path) -> None:
    rewrite(saved, format_version=2, something="new")
    with pytest.raises(ArtifactError, match="format_version is 2, this program reads 1"):
        load_data(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}'])
def test_refuses_what_is_no_text_of_a_report(saved: Path, text: str) -> None:
    (saved / TEXT_FILE).write_text(text)
    with pytest.raises(ArtifactError, match="not a report's data"):
        load_data(saved)


def test_refuses_names_that_do_not_fit_the_arrays(saved: Path) -> None:
    rewrite(saved, speakers=["one"])
    with pytest.raises(ArtifactError, match=r"clips\.speaker holds places outside the 1 names"):
        load_data(saved)


def test_refuses_parts_that_contradict_each_other(saved: Path) -> None:
    names = json.loads((saved / TEXT_FILE).read_text())["feature_names"]
    rewrite(saved, feature_names=names[1:])
    with pytest.raises(ArtifactError, match=r"report-data\.npz: features\.inputs is of shape"):
        load_data(saved)
