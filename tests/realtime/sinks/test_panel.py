from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from realtime.sinks.panel import Panel, View
from realtime.types import LABELS, REMIND_S, Latency, Prediction, Segment, State, Status, Stream

STREAM = Stream("microphone", "tiny", LABELS, 22050, 66150, 11025, datetime(2026, 1, 1, tzinfo=UTC))
SHARES = (0.02, 0.03, 0.05, 0.0, 0.87, 0.02, 0.005, 0.005)
ANGRY = Prediction(STREAM, 0, 0, 66150, "angry", 0.87, SHARES, SHARES, -23.4, 0, Latency(12.0, 3.0, 1.0))
LISTENING = Status(STREAM, State.LISTENING, "", 0, 0, -30.0)


def drawn(panel: Panel, width: int = 80, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, record=True)
    console.print(panel)
    return console.export_text()


def test_view_sums_what_was_lost_and_keeps_the_newest() -> None:
    view = View()
    for event in (LISTENING, replace(ANGRY, dropped=480), Segment(STREAM, "angry", 0, None, 0.9), ANGRY):
        view = view.after(event)
    view = view.after(replace(ANGRY, dropped=20, level_dbfs=-9.0))
    assert (view.n_dropped, view.level_dbfs, view.state) == (500, -9.0, State.LISTENING)


def test_another_stream_starts_anew() -> None:
    view = View().after(replace(ANGRY, dropped=480))
    other = replace(STREAM, name="other")
    assert view.after(replace(LISTENING, stream=other)).n_dropped == 0


def test_shows_emotion_bars_level_model_time_and_latency() -> None:
    text = drawn(Panel(View().after(LISTENING).after(ANGRY), running_s=3725.0))
    assert "LISTENING" in text
    assert "😠  A N G R Y  87%" in text
    assert all(label in text for label in LABELS)
    assert "-23 dBFS" in text
    assert "model tiny" in text
    assert "1:02:05" in text
    assert "latency 16 ms" in text
    assert "lost  nothing" in text
    bars = {line.split()[1]: line.count("█") for line in text.splitlines() if line[2:].startswith(LABELS)}
    assert max(bars, key=bars.__getitem__) == "angry"


@pytest.mark.parametrize("state", sorted(set(State) - {State.LISTENING, State.CLIPPING}))
def test_a_state_without_predictions_is_shown_instead_of_an_old_emotion(state: State) -> None:
    text = drawn(
        Panel(View().after(ANGRY).after(replace(LISTENING, state=state, detail="the reason why"))), width=40
    )
    assert state.value.replace("_", " ").upper() in text
    assert "the reason why" in text
    assert "A N G R Y" not in text
    assert "87" not in text


def test_clipping_is_shown_beside_the_emotion() -> None:
    text = drawn(Panel(View().after(ANGRY).after(replace(LISTENING, state=State.CLIPPING))))
    assert "CLIPPING" in text
    assert "A N G R Y" in text


def test_arousal_valence_and_intensity_are_shown_where_the_model_tells_them() -> None:
    assert "arousal +0.7   valence -0.5\n" in re.sub(r" +│\n", "\n", drawn(Panel(View().after(ANGRY))))
    text = drawn(Panel(View().after(replace(ANGRY, intensity=0.63))))
    assert "arousal +0.7   valence -0.5   intensity 63%" in text
    for width, shown in ((47, "intensity 63%"), (46, "valence -0.5"), (30, "arousal +0.7")):
        row = next(
            line
            for line in drawn(Panel(View().after(replace(ANGRY, intensity=0.63))), width).splitlines()
            if "arousal" in line
        )
        assert row.strip("│ ").endswith(shown)
    nearly = (0.97, 0.0, 0.0, 0.0, 0.03, 0.0, 0.0, 0.0)
    assert "valence +0.0" in drawn(Panel(View().after(replace(ANGRY, smoothed=nearly))))
    own = replace(STREAM, labels=("laughing", *LABELS[1:]))
    text = drawn(Panel(View().after(replace(ANGRY, stream=own, intensity=0.63))))
    assert "arousal" not in text
    assert "intensity 63%" in text
    assert "arousal" not in drawn(Panel(View().after(ANGRY).after(replace(LISTENING, state=State.SILENT))))


def test_losses_are_shown() -> None:
    text = drawn(Panel(View().after(replace(ANGRY, dropped=22050))))
    assert "lost  1.00 s of audio (22050 samples)" in text


def test_what_people_are_told_is_shown_whatever_comes() -> None:
    view = View().told("log.csv: No space left; goes on without it", 5.0).after(ANGRY)
    other = replace(STREAM, name="other")
    for known in (
        view,
        view.after(replace(LISTENING, state=State.SILENT)),
        view.after(replace(ANGRY, stream=other)),
    ):
        assert "0:00:05  log.csv: No space left; goes on without it" in drawn(Panel(known))
    # In full, also where it takes several rows.
    narrow = drawn(Panel(view), width=24)
    assert "log.csv:Nospaceleft;goesonwithoutit" in re.sub(r"[│\s]", "", narrow)


def test_the_newest_notices_are_shown_each_once() -> None:
    view = View()
    for at_s, text in enumerate(["one", "two", "one", "three", "four"]):
        view = view.told(text, at_s)
    assert view.notices == ((2, "one"), (3, "three"), (4, "four"))


def test_a_recognizer_that_hangs_does_not_look_like_one_that_listens() -> None:
    view = View().after(LISTENING).after(ANGRY)
    assert "NO NEWS" not in drawn(Panel(view, quiet_s=2.9))
    text = drawn(Panel(view, quiet_s=3.1))
    assert "NO NEWS" in text
    assert "A N G R Y" not in text
    stopped = view.after(replace(LISTENING, state=State.STOPPED))
    assert "NO NEWS" not in drawn(Panel(stopped, quiet_s=60.0))


@pytest.mark.parametrize("state", [State.SILENT, State.NO_SIGNAL])
def test_a_state_that_lasts_is_no_recognizer_that_hangs(state: State) -> None:
    view = View().after(replace(LISTENING, state=state))
    # It is told again after five seconds of audio, which come when they come.
    assert "NO NEWS" not in drawn(Panel(view, quiet_s=REMIND_S + 1.5))
    assert "NO NEWS" in drawn(Panel(view, quiet_s=REMIND_S + 2.5))


def test_an_abstaining_model_is_shown_without_a_share() -> None:
    text = drawn(Panel(View().after(replace(ANGRY, label="unknown"))))
    assert "U N K N O W N" in text
    assert "87%" not in text


@pytest.mark.parametrize("width", [1, 5, 12, 20, 40, 60, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_fits_any_width(width: int, encoding: str) -> None:
    view = View().after(replace(ANGRY, label="surprised", dropped=480, level_dbfs=5.0))
    for each in (
        View(),
        view,
        view.after(replace(LISTENING, state=State.RECOVERING, detail="a long reason " * 9)),
        view.told("/a/very/long/path/" * 9, 1e6),
    ):
        text = drawn(Panel(each, running_s=1e6, quiet_s=0.0), width, encoding)
        assert all(cell_len(line) <= max(width, 2) for line in text.splitlines())


def test_uses_plain_characters_where_there_are_no_others() -> None:
    assert drawn(Panel(View().after(ANGRY)), encoding="ascii").isascii()


def test_rows_align_at_forty_columns() -> None:
    lines = drawn(Panel(View().after(ANGRY)), width=40).splitlines()
    assert {cell_len(line) for line in lines} == {40}
    assert len(lines) <= 24
