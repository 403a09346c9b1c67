from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime.artifact import Scores
from realtime.errors import TrainingError
from training import comparison, evaluation
from training.evaluation import Cost, Evaluation
from training.recipes import digest, find_recipe, recipe_names


def figures(accuracy: float, uar: float = 0.5) -> Scores:
    return Scores(n=10, accuracy=accuracy, uar=uar, macro_f1=0.5, ece=0.1, confusion=[[1]])


def clips(accuracy: float, uar: float = 0.5) -> dict[str, dict[str, Scores]]:
    return {"clips": {"all": figures(accuracy, uar)}}


def write(folder: Path, name: str, scores: Any, **changes: Any) -> None:
    recipe = find_recipe(name)
    made = Evaluation(
        recipe=name,
        recipe_sha256=digest(recipe),
        labels=list(recipe.labels),
        corpora=["ravdess"],
        data_sha256="of the recordings",
        commands={},
        seeds={"random": [42, 43, 44], "speaker": [42, 43]},
        versions={},
        cost=Cost(n_bytes=4312, us_per_prediction=12.5),
        scores=scores,
    )
    evaluation.write(folder / name, msgspec.structs.replace(made, **changes))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Folder of three measured recipes."""
    write(
        tmp_path,
        "ann-392",
        {
            "random": clips(0.8),
            "kfold": clips(0.7),
            "speaker": clips(0.6, 0.55) | {"windows": {"all": figures(0.5)}},
            "speaker/adapted": clips(0.65),
            "cross/ravdess-to-nemo/four": clips(0.1, 0.3),
            "cross/nemo-to-ravdess/four": clips(0.1, 0.4),
            "cross/nemo-to-ravdess/shared": clips(0.1, 0.9),
            "cross/ravdess-to-nemo/four/adapted": clips(0.1, 0.5),
            "cross/nemo-to-ravdess/four/adapted": clips(0.1, 0.6),
            "robust/quiet": clips(0.4),
            "robust/telephone": clips(0.2),
        },
    )
    write(tmp_path, "svm", {"speaker": clips(0.7, 0.7)}, recipe_sha256="of another one")
    write(tmp_path, "knn", {"random": clips(0.7)}, cost=None)
    return tmp_path


def test_rows_hold_what_was_measured(models: Path) -> None:
    rows = {row.recipe: row for row in comparison.compare(models)}
    assert set(rows) == set(recipe_names())
    row = rows["ann-392"]
    assert (row.n_classes, row.reported) == (8, 0.872)
    assert (row.random, row.kfold, row.speaker, row.speaker_uar) == (0.8, 0.7, 0.6, 0.55)
    assert (row.speaker_windows, row.speaker_adapted) == (0.5, 0.65)
    assert (row.cross_uar, row.cross_adapted_uar) == (0.35, 0.55)
    assert row.robust == pytest.approx(0.3)
    assert (row.n_seeds, row.n_seeds_most, row.is_current) == (2, 3, True)
    assert (row.n_bytes, row.us_per_prediction) == (4312, 12.5)
    assert not rows["svm"].is_current
    bare = rows["cnn"]
    assert bare.reported == 0.83
    assert (bare.n_cross_classes, rows["dnn-105"].n_cross_classes) == (4, 3)
    measured = {name: getattr(bare, name) for name in bare.__struct_fields__[3:-2]}
    del measured["n_cross_classes"]
    assert {name for name, value in measured.items() if value} == set()
    assert bare.is_current


def test_the_best_on_strangers_come_first_and_the_unmeasured_last(models: Path) -> None:
    names = [row.recipe for row in comparison.compare(models)]
    # Of eight classes the first, of seven the second, whatever their figures.
    assert names[:2] == ["ann-392", "svm"]
    rows = {row.recipe: row for row in comparison.compare(models)}
    assert names[2:] == sorted(names[2:], key=lambda name: (-rows[name].n_classes, name))


def test_ones_own_recipe_has_a_row(models: Path) -> None:
    (models / "ann-392").rename(models / "mine")
    rows = {row.recipe: row for row in comparison.compare(models)}
    assert rows["ann-392"].random is None
    own = rows["mine"]
    assert (own.n_classes, own.reported, own.random, own.is_current) == (8, None, 0.8, True)


def test_a_damaged_folder_is_named(models: Path) -> None:
    (models / "knn" / "scores.json").write_text("{")
    with pytest.raises(TrainingError, match=r"scores\.json: not an evaluation"):
        comparison.compare(models)


def test_a_models_name_may_hold_commas(models: Path) -> None:
    (models / "mine, the second").mkdir()
    (models / "mine, the second" / "scores.json").write_bytes((models / "svm" / "scores.json").read_bytes())
    rows = comparison.compare(models)
    table = list(csv.DictReader(io.StringIO(comparison.to_csv(rows))))
    assert [row["recipe"] for row in table] == [row.recipe for row in rows]


def test_the_table_as_text(models: Path) -> None:
    rows = comparison.compare(models)
    lines = comparison.to_markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {len(comparison.COLUMNS) + 1}
    assert "| svm (changed since) | 7 | 30.0% | - | - | 70.0% | 0.700 |" in lines[3]
    assert (
        "| ann-392 | 8 | 87.2% | 80.0% | 70.0% | 60.0% | 0.550 | 50.0% | 65.0% | 0.350 | 0.550 |" in lines[2]
    )

    table = list(csv.DictReader(io.StringIO(comparison.to_csv(rows))))
    assert [row["recipe"] for row in table] == [row.recipe for row in rows]
    assert table[0]["cross_uar"] == "0.35"
    assert table[-1]["random"] == ""

    plain = json.loads(comparison.to_json(rows))
    assert plain[0]["speaker_uar"] == 0.55
    assert plain[-1]["random"] is None
    assert list(plain[0]) == list(table[0])
