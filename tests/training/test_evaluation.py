from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from realtime import artifact
from realtime.artifact import ClassScores, Export, Scores
from realtime.card import Coverage
from realtime.errors import TrainingError
from training import evaluation
from training.evaluation import Cost, Evaluation, classes_of, merge

if TYPE_CHECKING:
    from realtime.artifact import Card


def scores(
    accuracy: float = 0.5, classes: tuple[str, ...] = ("neutral", "happy")
) -> dict[str, dict[str, Scores]]:
    figures = Scores(
        n=10,
        accuracy=accuracy,
        uar=accuracy / 2,
        macro_f1=0.25,
        ece=0.125,
        confusion=[[5, 0], [5, 0]],
        classes={name: ClassScores(n=5, precision=0.5, recall=0.5, f1=0.5) for name in classes},
        ci95={"accuracy": (0.25, 0.75)},
    )
    return {"clips": {"all": figures, "speech": figures}, "windows": {"all": figures}}


def several(accuracy: float, classes: tuple[str, ...] = ("neutral", "happy")) -> dict[str, dict[str, Scores]]:
    """Return scores of two seeds."""
    return {
        unit: {
            part: msgspec.structs.replace(
                figures, n_seeds=2, sd={"accuracy": 0.0, "uar": 0.0}, confusion=[[10, 0], [10, 0]]
            )
            for part, figures in parts.items()
        }
        for unit, parts in scores(accuracy, classes).items()
    }


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
        scores={name: scores(classes=tuple(classes_of(name, ("neutral", "happy")))) for name in protocols},
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
    # Who finds none leaves none of another model's.
    assert not merge(old, make("speaker", thresholds={})).thresholds
    other = make("cross/ravdess-to-emovo/four")
    crossed = merge(make("random", "cross/ravdess-to-nemo/four"), other)
    assert set(crossed.scores) == {"random", "cross/ravdess-to-emovo/four"}


def test_what_thresholds_leave_of_another_corpus_comes_with_the_cross_protocol() -> None:
    there, back = "cross/ravdess-to-nemo", "cross/nemo-to-ravdess"
    first = {"0.9": Coverage(share=0.2, precision=0.5), "0.6": Coverage(share=0.9, precision=0.4)}
    second = {"0.9": Coverage(share=0.4, precision=0.8)}
    old = make(f"{there}/four", coverage_elsewhere={there: first, back: first})
    assert merge(old, make("speaker")).coverage_elsewhere == {there: first, back: first}
    again = make(f"{there}/four", coverage_elsewhere={there: second})
    assert merge(old, again).coverage_elsewhere == {there: second}
    others = msgspec.structs.replace(again, seeds={"cross": [43]}, scores={f"{there}/four": several(0.5)})
    assert merge(old, others).coverage_elsewhere == {there: {"0.9": Coverage(share=0.3, precision=0.7)}}
    # Older files have none.
    assert merge(make(f"{there}/four"), others).coverage_elsewhere == {}


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
        coverage_elsewhere={"cross/ravdess-to-nemo": {"0.9": Coverage(share=0.2, precision=0.5)}},
    )
    found = evaluation.into_card(card, measured)
    assert found.scores == measured.scores
    assert found.coverage_elsewhere == measured.coverage_elsewhere
    # Of strangers nothing reached any precision, whatever was so before.
    assert found.thresholds == {}
    measured = msgspec.structs.replace(measured, seeds={"random": [42]})
    assert evaluation.into_card(card, measured).thresholds == {"0.8": 0.5}
    assert "There are no scores yet" not in found.scores_note
    assert all(command in found.scores_note for command in measured.commands.values())
    accuracies = {name: (export.accuracy, export.uar) for name, export in found.exports.items()}
    assert accuracies == {"float32": (0.5, 0.25), "float16": (None, None), "int8": (0.4, 0.2)}


def test_other_seeds_are_counted_in() -> None:
    names = ["speaker", "speaker/arousal/adapted", "random"]
    coverage = {"0.9": Coverage(share=0.2, precision=0.8)}
    old = make(*names, thresholds={"0.9": 0.7, "0.8": 0.6}, coverage=coverage)
    new = make(
        "speaker",
        "speaker/arousal/adapted",
        "speaker/int8",
        seeds={"speaker": [44, 43]},
        commands={"speaker": "all of them"},
        thresholds={"0.9": 0.4},
        coverage={"0.9": Coverage(share=0.5, precision=0.95)},
        scores={
            "speaker": several(0.8),
            "speaker/arousal/adapted": several(0.8, ("low", "high")),
            "speaker/int8": several(0.8),
        },
    )
    merged = merge(old, new)
    assert merged.seeds == {"speaker": [42, 43, 44], "random": [42]}
    assert merged.commands["speaker"] == "all of them"
    assert merged.thresholds == {"0.9": 0.5}
    assert merged.coverage == {"0.9": Coverage(share=0.4, precision=0.925)}
    for name in ("speaker", "speaker/arousal/adapted"):
        found = merged.scores[name]["clips"]["speech"]
        assert (found.n, found.n_seeds, found.accuracy) == (10, 3, 0.7)
        assert found.confusion == [[15, 0], [15, 0]]
        assert found.ci95["accuracy"] == (0.25, 0.75)
    assert list(merged.scores["speaker/arousal/adapted"]["clips"]["all"].classes) == ["low", "high"]
    assert list(merged.scores["speaker"]["clips"]["all"].classes) == ["neutral", "happy"]
    # What was not measured before is of the new seeds alone, and says so.
    assert merged.scores["speaker/int8"]["clips"]["all"].n_seeds == 2
    assert merged.scores["random"] == old.scores["random"]
    # A precision that the old seeds did not reach, all of them together do not.
    assert (
        merge(make("speaker"), msgspec.structs.replace(new, scores={"speaker": several(0.8)})).thresholds
        == {}
    )
    # A seed that both have is measured again: then nothing is counted twice.
    again = merge(merged, make("speaker", seeds={"speaker": [42, 45]}))
    assert again.seeds["speaker"] == [42, 45]
    assert again.scores["speaker"] == scores()


def test_seeds_of_other_windows_are_not_counted_in() -> None:
    less = msgspec.structs.replace(scores()["clips"]["all"], n=9)
    new = make("speaker", seeds={"speaker": [43]}, scores={"speaker": {"clips": {"all": less}}})
    with pytest.raises(
        TrainingError, match=r"speaker: scores of .* measured by other code or of .* without --add"
    ):
        merge(make("speaker"), new)


def test_scores_of_other_recordings_are_not_mixed() -> None:
    old, new = make("random", data_sha256="one"), make("speaker", data_sha256="other")
    assert list(merge(old, new).scores) == ["speaker"]
    assert list(merge(old, make("speaker", data_sha256="one")).scores) == ["speaker", "random"]
