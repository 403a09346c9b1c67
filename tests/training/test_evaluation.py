from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from realtime import artifact
from realtime.artifact import Export, Scores
from realtime.errors import TrainingError
from training import evaluation
from training.evaluation import Cost, Evaluation, merge

if TYPE_CHECKING:
    from realtime.artifact import Card


def scores(accuracy: float = 0.5) -> dict[str, dict[str, Scores]]:
    figures = Scores(
        n=10,
        accuracy=accuracy,
        uar=accuracy / 2,
        macro_f1=0.25,
        ece=0.125,
        confusion=[[5, 0], [5, 0]],
        ci95={"accuracy": (0.25, 0.75)},
    )
    return {"clips": {"all": figures, "speech": figures}, "windows": {"all": figures}}


def make(
    *protocols: str, sha256: str = "ab", corpora: tuple[str, ...] = ("ravdess",), **changes: object
) -> Evaluation:
    asked = sorted({name.partition("/")[0] for name in protocols})
    made = Evaluation(
        recipe="tiny",
        recipe_sha256=sha256,
        labels=["neutral", "happy"],
        corpora=list(corpora),
        data_sha256="of the recordings",
        commands={name: f"tonewatch-train evaluate tiny --protocols {name}" for name in asked},
        seeds={name: [42] for name in asked},
        versions={"numpy": "1"},
        scores={name: scores() for name in protocols},
    )
    return msgspec.structs.replace(made, **changes)


def test_new_protocols_stand_beside_old_ones() -> None:
    old = make("random", "speaker", thresholds={"0.9": 0.7})
    merged = merge(old, make("kfold"))
    assert list(merged.scores) == ["speaker", "random", "kfold"]
    assert set(merged.commands) == set(merged.seeds) == {"random", "speaker", "kfold"}
    # Who measured no threshold leaves those that there were.
    assert merged.thresholds == {"0.9": 0.7}
    cost = Cost(n_bytes=1, us_per_prediction=2.5)
    newer = Cost(n_bytes=2, us_per_prediction=3.5)
    costly = make("random", cost=cost)
    assert merge(costly, make("kfold")).cost == cost
    assert merge(costly, make("kfold", cost=newer)).cost == newer


def test_all_that_a_protocol_brought_goes_with_it() -> None:
    old = make(
        "random", "speaker", "speaker/adapted", "speaker/int8", "robust/quiet", thresholds={"0.9": 0.7}
    )
    new = make("speaker", "speaker/adapted", thresholds={"0.6": 0.5}, seeds={"speaker": [42, 43]})
    merged = merge(old, new)
    assert set(merged.scores) == {"random", "robust/quiet", "speaker", "speaker/adapted"}
    assert merged.seeds == {"random": [42], "robust": [42], "speaker": [42, 43]}
    assert merged.thresholds == {"0.6": 0.5}
    other = make("cross/ravdess-to-emovo/four")
    crossed = merge(make("random", "cross/ravdess-to-nemo/four"), other)
    assert set(crossed.scores) == {"random", "cross/ravdess-to-emovo/four"}


@pytest.mark.parametrize(
    "old", [make("random", sha256="cd"), make("random", corpora=("ravdess", "nemo")), None]
)
def test_scores_of_another_recipe_or_other_corpora_are_not_mixed_in(old: Evaluation | None) -> None:
    new = make("speaker")
    assert merge(old, new) == new


def test_an_evaluation_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    assert evaluation.read(folder) is None
    written = make("random", "speaker/adapted", thresholds={"0.9": 0.75})
    evaluation.write(folder, written)
    assert evaluation.read(folder) == written
    evaluation.write(folder, make("kfold"))
    assert evaluation.read(folder) == make("kfold")
    assert [path.name for path in folder.iterdir()] == ["scores.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"recipe": 3}', b"\xff", b'{"scores": '])
def test_a_file_that_holds_something_else_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_bytes(content)
    with pytest.raises(TrainingError, match=r"scores\.json: not an evaluation: .*; remove it"):
        evaluation.read(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"scores\.json: .*wanted to write scores there"):
        evaluation.write(tmp_path / "file", make("random"))
    with pytest.raises(TrainingError, match=r"scores\.json"):
        evaluation.read(tmp_path / "file")


def test_a_card_gets_scores_commands_thresholds_and_what_each_export_keeps(tiny_model: Path) -> None:
    card: Card = msgspec.structs.replace(
        artifact.read(tiny_model).card,
        exports={name: Export(n_bytes=1, parity=0.0) for name in ("float32", "float16", "int8")},
        scores_note=evaluation.MISSING_NOTE,
        thresholds={"0.8": 0.5},
    )
    measured = msgspec.structs.replace(
        make("random", "speaker", "speaker/int8"),
        scores={"random": scores(0.9), "speaker": scores(0.5), "speaker/int8": scores(0.4)},
    )
    found = evaluation.into_card(card, measured)
    assert found.scores == measured.scores
    assert found.thresholds == {"0.8": 0.5}
    assert "There are no scores yet" not in found.scores_note
    assert all(command in found.scores_note for command in measured.commands.values())
    accuracies = {name: (export.accuracy, export.uar) for name, export in found.exports.items()}
    assert accuracies == {"float32": (0.5, 0.25), "float16": (None, None), "int8": (0.4, 0.2)}


def test_scores_of_other_recordings_are_not_mixed() -> None:
    old, new = make("random", data_sha256="one"), make("speaker", data_sha256="other")
    assert list(merge(old, new).scores) == ["speaker"]
    assert list(merge(old, make("speaker", data_sha256="one")).scores) == ["speaker", "random"]
