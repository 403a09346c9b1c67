from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from rich.console import Console

from realtime import analysis, artifact, messages, reports
from realtime.analysis import NO_VOICE, Analysis
from realtime.artifact import ClassScores, Export, Scores
from realtime.card import Coverage
from realtime.types import Prediction, Segment, State, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("neutral", "happy", "sad")
STREAM = Stream("talk.wav", "tiny", LABELS, 16_000, 48_000, 8_000)
SHARES = [(0.1, 0.2, 0.7), (0.2, 0.3, 0.5), (0.1, 0.8, 0.1)]
PREDICTIONS = tuple(
    Prediction(
        STREAM,
        seq,
        8_000 * seq,
        48_000 + 8_000 * seq,
        LABELS[int(np.argmax(p))],
        max(p),
        p,
        p[::-1],
        -21.4,
        9 * seq,
    )
    for seq, p in enumerate(SHARES)
)
TALK = Analysis(
    path=Path("some, folder") / "talk [bold].wav",
    labels=LABELS,
    duration_s=4.0,
    events=(
        Status(STREAM, State.STARTING, "collecting", 0, 0),
        Segment(STREAM, "sad", 0, None, 0.7),
        *PREDICTIONS,
        Status(STREAM, State.RECOVERING, "lost", 63_000, 63_000, None, 12),
        Status(STREAM, State.STOPPED, "", 64_000, 64_000),
    ),
    label="happy",
    probability=0.43,
    probabilities=np.array([0.13, 0.43, 0.43], np.float32),
    truth="sad",
)
QUIET = replace(
    TALK,
    path=Path("quiet.wav"),
    events=(),
    label=NO_VOICE,
    probability=0.0,
    probabilities=np.zeros(3, np.float32),
    truth=None,
)


def printed(show: Callable[[Console], None], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row below a table's header."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"
    ]


# --- for programs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_json(*, whole: bool) -> None:
    talk, quiet = json.loads(reports.as_json([TALK, QUIET], whole=whole))
    assert talk["file"] == str(TALK.path)
    assert (talk["label"], talk["truth"], talk["duration_s"]) == ("happy", "sad", 4.0)
    assert talk["probabilities"] == pytest.approx({"neutral": 0.13, "happy": 0.43, "sad": 0.43})
    assert (quiet["label"], quiet["truth"], quiet["probability"]) == (NO_VOICE, None, 0.0)
    if whole:
        assert "events" not in talk
    else:
        # The timeline is made of the messages that go over the wire.
        decoded = [messages.decode(json.dumps(event)) for event in talk["events"]]
        assert decoded == [messages.to_message(event) for event in TALK.events]
        assert quiet["events"] == []


def test_json_of_nothing() -> None:
    assert json.loads(reports.as_json([], whole=True)) == []


def test_csv_of_windows() -> None:
    found = list(csv.DictReader(io.StringIO(reports.as_csv([TALK, QUIET], whole=False))))
    assert len(found) == len(PREDICTIONS)
    for row, p in zip(found, PREDICTIONS, strict=True):
        assert (row["file"], row["truth"], row["label"]) == (str(TALK.path), "sad", p.label)
        assert (float(row["start_s"]), float(row["end_s"])) == (p.start / 16_000, p.end / 16_000)
        assert tuple(float(row[label]) for label in LABELS) == p.probabilities
        assert tuple(float(row[f"smoothed_{label}"]) for label in LABELS) == p.smoothed
        assert float(row["probability"]) == p.probability


def test_csv_of_recordings() -> None:
    talk, quiet = csv.DictReader(io.StringIO(reports.as_csv([TALK, QUIET], whole=True)))
    assert (talk["file"], talk["label"], talk["start_s"], talk["end_s"]) == (
        str(TALK.path),
        "happy",
        "0",
        "4.000",
    )
    assert [float(talk[label]) for label in LABELS] == [0.13, 0.43, 0.43]
    # Of a whole recording nothing is smoothed.
    assert tuple(talk)[-3:] == LABELS
    assert (quiet["label"], quiet["truth"], float(quiet["probability"])) == (NO_VOICE, "", 0)


@pytest.mark.parametrize("name", ["a\nb.wav", "a\rb.wav", "a\r\nb.wav", 'a, "b"\n.wav', "\r"])
def test_names_do_not_break_rows_of_csv(name: str) -> None:
    odd = replace(TALK, path=Path(name))
    for whole in (True, False):
        text = reports.as_csv([odd, QUIET], whole=whole)
        header, *found = csv.reader(io.StringIO(text, newline=""))
        assert {len(row) for row in found} == {len(header)}
        assert {row[0] for row in found} == ({name, "quiet.wav"} if whole else {name})


def test_csv_of_nothing() -> None:
    (header,) = csv.reader(io.StringIO(reports.as_csv([], whole=True)))
    assert header[:2] == ["file", "truth"]


def stretches(text: str) -> list[tuple[float, float, str]]:
    lines = (line.split("\t") for line in text.splitlines())
    return [(float(start), float(end), label) for start, end, label in lines]


def test_audacity() -> None:
    found = stretches(reports.as_audacity([TALK], whole=False))
    assert found == [(0.0, 2.25, "sad"), (2.25, 4.0, "happy")]
    assert stretches(reports.as_audacity([TALK], whole=True)) == [(0.0, 4.0, "happy")]
    # A track belongs to one recording, so several are told apart.
    both = stretches(reports.as_audacity([TALK, QUIET], whole=True))
    assert [label for *_, label in both] == ["talk [bold].wav: happy", f"quiet.wav: {NO_VOICE}"]
    assert reports.as_audacity([QUIET], whole=False) == ""


@pytest.mark.parametrize("whole", [True, False])
def test_names_do_not_break_rows_for_audacity(*, whole: bool) -> None:
    odd = replace(TALK, path=Path("a\tb\nc\r\x85d\u2028e.wav"))
    found = stretches(reports.as_audacity([odd, odd], whole=whole))
    assert {label.rpartition(": ")[0] for *_, label in found} == {"a b c  d e.wav"}


# --- for people -------------------------------------------------------------------------------------------


def test_table_of_windows() -> None:
    text = printed(lambda console: reports.print_table(console, [TALK], whole=False))
    assert text.splitlines()[0].strip() == str(TALK.path)
    starting, *windows, recovering, stopped = rows(text)
    assert starting[:3] == ["0.0 s", "", "starting"]
    assert windows[0] == ["0.0 s", "3.0 s", "sad", "70.0%", "-21 dBFS"]
    assert [row[2] for row in windows] == ["sad", "sad", "happy"]
    assert recovering[2:] == ["recovering", "", "12 samples lost"]
    assert stopped[:3] == ["4.0 s", "", "stopped"]
    assert "whole: happy 43.0%" in text


def test_table_of_recordings() -> None:
    text = printed(lambda console: reports.print_table(console, [TALK, QUIET], whole=True))
    assert rows(text) == [
        [str(TALK.path), "happy", "43.0%", "4.0", "sad"],
        ["quiet.wav", NO_VOICE, "0.0%", "4.0", ""],
    ]
    # Where no name carries a label there is no column for it.
    assert rows(printed(lambda console: reports.print_table(console, [QUIET], whole=True)))[0][-1] == "4.0"


def test_score() -> None:
    answers = [("sad", "sad"), ("sad", "happy"), ("happy", "happy"), ("happy", NO_VOICE)]
    analyses = [replace(TALK, truth=truth, label=label) for truth, label in answers]
    score = analysis.score(analyses, LABELS)
    assert score is not None
    text = printed(lambda console: reports.print_score(console, score))
    # F1: happy 2 * 1 / (2 + 2), sad 2 * 1 / (2 + 1).
    assert f"accuracy 50.0%, macro F1 {(0.5 + 2 / 3) / 2:.2f}, on 4 recordings" in text
    # Columns of answers that nobody gave are left out, unless they are classes.
    assert "unknown" not in text
    assert rows(text) == [
        ["neutral", "0", "·", "·", "·"],
        ["happy", "·", "1", "·", "1"],
        ["sad", "·", "1", "1", "·"],
    ]
    one = analysis.score(analyses[:1], LABELS)
    assert one is not None
    assert printed(lambda console: reports.print_score(console, one)).splitlines() == [
        "accuracy 100.0%, macro F1 1.00, on 1 recording with a label in the name"
    ]
    known = printed(lambda console: reports.print_score(console, one, ["ravdess"]))
    assert "This model was trained on RAVDESS" in known


@pytest.fixture
def card(tiny_model: Path) -> artifact.Card:
    """A card with scores."""
    scores = Scores(
        n=10, accuracy=0.7, uar=0.65, macro_f1=0.6, ece=0.05, confusion=np.eye(8, dtype=int).tolist()
    )
    return msgspec.structs.replace(
        artifact.read(tiny_model).card,
        name="large",
        description="392 features [of 400]; not [/] markup",
        scores={"speaker": {"windows": {"all": scores, "song": msgspec.structs.replace(scores, n=4)}}},
    )


def test_models(card: artifact.Card) -> None:
    unscored = msgspec.structs.replace(card, name="small", scores={})
    text = printed(lambda console: reports.print_models(console, [card, unscored], "small"))
    (corpus,) = card.training.corpora
    assert rows(text) == [
        ["large", "8", "3 s", f"{corpus}: 70.0% (UAR 0.65)", "float32"],
        ["small (default)", "8", "3 s", "not measured", "float32"],
    ]


def test_models_of_several_corpora(card: artifact.Card) -> None:
    windows = card.scores["speaker"]["windows"]
    hard = msgspec.structs.replace(windows["all"], accuracy=0.3, uar=0.25)
    training = msgspec.structs.replace(card.training, corpora=("ravdess", "nemo"))
    both = msgspec.structs.replace(
        card,
        training=training,
        scores={"speaker": {"windows": windows | {"ravdess": windows["song"], "nemo": hard}}},
    )
    text = printed(lambda console: reports.print_models(console, [both], "large"))
    assert rows(text) == [
        ["large (default)", "8", "3 s", "ravdess: 70.0% (UAR 0.65)", "float32"],
        ["", "", "", "nemo: 30.0% (UAR 0.25)", ""],
    ]


def test_card(card: artifact.Card) -> None:
    text = printed(lambda console: reports.print_card(console, card))
    assert text.startswith("large: 392 features [of 400]; not [/] markup\n")
    protocols = [row for row in rows(text) if row[0] == "speaker"]
    assert protocols == [
        ["speaker", "windows", "all", "10", "70.0%", "0.650", "0.600", "0.050"],
        ["speaker", "windows", "song", "4", "70.0%", "0.650", "0.600", "0.050"],
    ]
    # One confusion matrix for the whole, none for its parts.
    assert text.count("label \\ answer") == 1
    diagonal = [row[1 + i] for i, row in enumerate(rows(text)[2:])]
    assert diagonal == ["1"] * 8
    assert math.isclose(card.scores["speaker"]["windows"]["all"].accuracy, 0.7)


def test_what_thresholds_leave(card: artifact.Card) -> None:
    kept = msgspec.structs.replace(
        card, thresholds={"0.8": 0.6, "0.9": 0.75}, coverage={"0.8": Coverage(share=0.4, precision=0.78)}
    )
    text = printed(lambda console: reports.print_card(console, kept)).replace("\n", " ")
    assert "with a probability of 0.6 and more, 80% was right; of others, it then judges 40%, and 78%" in text
    assert text.count("of others, it then judges") == 1


def test_what_thresholds_leave_of_another_corpus(card: artifact.Card) -> None:
    elsewhere = {"cross/ravdess-to-nemo": {"0.8": Coverage(share=0.12, precision=0.31)}}
    kept = msgspec.structs.replace(card, coverage_elsewhere=elsewhere)
    text = printed(lambda console: reports.print_card(console, kept)).replace("\n", " ")
    assert (
        "cross/ravdess-to-nemo: what is to leave 80% right leaves 12% of the other corpus's windows, and 31% "
        "of them are right"
    ) in text


def test_card_of_several_trainings(card: artifact.Card) -> None:
    plain = card.scores["speaker"]["windows"]["all"]
    scores = msgspec.structs.replace(
        plain,
        n_seeds=3,
        sd={"accuracy": 0.012},
        ci95={"accuracy": (0.66, 0.75), "uar": (0.6, 0.7), "macro_f1": (0.5, 0.7), "ece": (0.01, 0.09)},
        classes={"happy": ClassScores(n=1, precision=0.5, recall=0.25, f1=1 / 3)},
    )
    units = {"clips": {"all": scores}}
    rich = msgspec.structs.replace(
        card,
        runtime="skops",
        scores={"speaker": units, "cross/ravdess-nemo/four/adapted": units, "speaker/int8": units},
        exports={
            "float32": Export(n_bytes=711_504, parity=5.4e-7, accuracy=0.61, uar=0.6),
            "int8": Export(n_bytes=211_504, parity=0.036),
        },
        training=msgspec.structs.replace(
            card.training, labels={"RAVDESS": card.labels, "nEMO [pl]": ["neutral", "sad"]}
        ),
    )
    text = printed(lambda console: reports.print_card(console, rich))
    assert "weights: scikit-learn's" in text
    assert "nEMO [pl] knows only: neutral, sad\n" in text
    assert "RAVDESS knows only" not in text
    found = rows(text)
    assert [
        "speaker",
        "clips",
        "all",
        "10",
        "70.0% ± 4.5",
        "0.650 ± 0.050",
        "0.600 ± 0.100",
        "0.050",
    ] in found
    # A long name is told whole.
    assert any(row[0] == "cross/ravdess-nemo/four/adapted" for row in found)
    # The table of weights has it.
    assert not any(row[0] == "speaker/int8" for row in found)
    assert "± is half of the 95% interval, over speakers\n" in text
    assert "means over 3 trainings, whose accuracies vary by 1.2 points" in text
    assert ["float32", "712 kB", "5e-07", "61.0%", "0.600"] in found
    assert ["int8", "212 kB", "0.04", "", ""] in found
    # The matrix of the main protocol, with the scores of the classes that occur.
    assert text.count("label \\ answer") == 1
    assert ["happy", "·", "·", "1", "·", "·", "·", "·", "·", "0.50", "0.25", "0.33"] in found
    unscored = msgspec.structs.replace(card, scores={})
    assert printed(lambda console: reports.print_card(console, unscored)).endswith("scores: not measured\n")
    # Nothing of it where nothing of it is known.
    bare = printed(lambda console: reports.print_card(console, card))
    assert not any(word in bare for word in ("±", "trainings", "precision", "kB", "knows only"))
