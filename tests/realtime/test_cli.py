"""The commands: what they print."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from realtime import messages
from realtime.live import DEMO
from realtime.messages import Hello, Prediction, Segment, Status
from realtime.sinks.files import CSV_COLUMNS
from realtime.types import LABELS, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import MakeVoice
    from tests.realtime.conftest import Outcome, PlugIn, Tonewatch


@pytest.mark.parametrize("command", ["", "listen", "analyze", "serve", "watch", "devices", "models"])
def test_help(command: str, tonewatch: Tonewatch) -> None:
    outcome = tonewatch(*command.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: tonewatch {command}".rstrip())


def test_version(tonewatch: Tonewatch) -> None:
    outcome = tonewatch("--version")
    assert outcome.code == 0
    assert outcome.out.split()[0] == "tonewatch"
    assert outcome.out.split()[1][0].isdigit() or "not installed" in outcome.out


def test_listen_json(demo: Outcome) -> None:
    assert (demo.code, demo.err) == (0, "")
    hello, starting, *_, stopped = demo.messages
    assert isinstance(hello, Hello)
    assert (hello.model, hello.labels, hello.window_s, hello.hop_s) == ("tiny-float32", LABELS, 3.0, 0.5)
    assert isinstance(starting, Status)
    assert isinstance(stopped, Status)
    assert (starting.state, stopped.state) == (State.STARTING, State.STOPPED)
    assert len(demo.predictions) > 50
    assert {message.stream for message in demo.predictions} == {"demo"}
    assert any(isinstance(message, Segment) for message in demo.messages)


def test_listen_lines(listen: Tonewatch, demo: Outcome) -> None:
    outcome = listen("--demo", "--fast", "--lines")
    assert (outcome.code, outcome.err) == (0, "")
    heading, starting, *lines = outcome.out.splitlines()
    assert heading == "demo, model tiny-float32"
    assert "[starting]" in starting
    assert "[stopped]" in lines[-1]
    assert [line.split()[1] for line in lines if "%" in line] == [p.label for p in demo.predictions]
    # Where standard output is no terminal, lines are what is shown.
    assert listen("--demo", "--fast").out == outcome.out


def test_logs_together(listen: Tonewatch, demo: Outcome, tmp_path: Path) -> None:
    jsonl, table = tmp_path / "day.jsonl", tmp_path / "day.csv"
    for _ in range(2):
        outcome = listen("--demo", "--fast", "--quiet", "--log", jsonl, "--log", table)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    logged = [messages.decode(line) for line in jsonl.read_text().splitlines()]
    # Both runs, one behind the other.
    assert list(map(type, logged)) == 2 * list(map(type, demo.messages))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert tuple(rows[0]) == CSV_COLUMNS
    told = [m for m in logged if isinstance(m, Prediction | Status)]
    assert [row["type"] for row in rows] == [type(m).__name__.lower() for m in told]
    labels = [row["label"] for row in rows if row["type"] == "prediction"]
    assert labels == 2 * [p.label for p in demo.predictions]


@pytest.mark.skipif(os.name == "nt", reason="such names are none")
def test_logs_of_a_file_with_a_line_break_in_its_name(
    listen: Tonewatch, recording: Path, tmp_path: Path
) -> None:
    odd, jsonl, table = recording.with_name("a\nb.wav"), tmp_path / "day.jsonl", tmp_path / "day.csv"
    recording.rename(odd)
    outcome = listen("--input", odd, "--fast", "--quiet", "--log", jsonl, "--log", table)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    told = [messages.decode(line) for line in jsonl.read_text().splitlines()]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["stream"] for row in rows} == {"a b.wav"}
    assert len(rows) == sum(isinstance(message, Prediction | Status) for message in told)


def test_hop(listen: Tonewatch, demo: Outcome) -> None:
    closer = listen("--demo", "--fast", "--json", "--hop", "0.25").predictions
    assert {p.start_s % 0.25 for p in closer} == {0}
    assert 2 * len(demo.predictions) - 5 < len(closer) < 2 * len(demo.predictions) + 10
    by_end = {p.end_s: p.probabilities for p in closer}
    for p in demo.predictions[:-1]:  # the last one is filled up, to a whole hop
        assert by_end[p.end_s] == p.probabilities


def test_smoothing(listen: Tonewatch, demo: Outcome) -> None:
    bare = listen("--demo", "--fast", "--json", "--smoothing", "none").predictions
    assert [p.probabilities for p in bare] == [p.probabilities for p in demo.predictions]
    assert all(p.smoothed == p.probabilities for p in bare)
    assert any(p.smoothed != p.probabilities for p in demo.predictions)


def test_min_probability(listen: Tonewatch, demo: Outcome) -> None:
    # Between two that occur: what is sent is rounded.
    threshold = float(np.mean(sorted({p.probability for p in demo.predictions})[20:22]))
    labels = [
        p.label for p in listen("--demo", "--fast", "--json", "--min-probability", str(threshold)).predictions
    ]
    wanted = [p.label if p.probability >= threshold else "unknown" for p in demo.predictions]
    assert labels == wanted
    assert 0 < labels.count("unknown") < len(labels)


def test_flags_win_over_the_configuration_file(
    tonewatch: Tonewatch, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    log = tmp_path / "from-file.jsonl"
    path.write_text(
        f"model = {json.dumps(str(tiny_model))}\nhop_s = 1.0\ndemo = true\nfast = true\noutput = 'json'\n"
        f"log = [{json.dumps(str(log))}]\n"
    )
    outcome = tonewatch("listen", "--config", path)
    assert outcome.code == 0
    (hello,) = (message for message in outcome.messages if isinstance(message, Hello))
    assert (hello.hop_s, hello.streams) == (1.0, ("demo",))
    assert len(log.read_text().splitlines()) == len(outcome.messages)
    outcome = tonewatch("listen", "--config", path, "--hop", "0.5")
    assert outcome.messages[0] == messages.decode(
        messages.encode(hello).replace(b'"hop_s":1.0', b'"hop_s":0.5')
    )
    assert "[stopped]" in tonewatch("listen", "--config", path, "--lines").out


FORMATS = [
    (8_000, 1, "WAV", "PCM_U8"),
    (11_025, 2, "WAV", "PCM_16"),
    (16_000, 1, "WAV", "PCM_24"),
    (22_050, 1, "AIFF", "PCM_16"),
    (24_000, 1, "FLAC", "PCM_16"),
    (32_000, 2, "WAV", "PCM_32"),
    (44_100, 2, "WAV", "FLOAT"),
    (44_100, 6, "WAV", "PCM_24"),
    (48_000, 6, "WAV", "DOUBLE"),
    (48_000, 2, "OGG", "VORBIS"),
    (96_000, 1, "FLAC", "PCM_24"),
]


@pytest.mark.parametrize(("rate", "channels", "kind", "subtype"), FORMATS)
def test_every_rate_width_and_number_of_channels(
    *,
    rate: int,
    channels: int,
    kind: str,
    subtype: str,
    listen: Tonewatch,
    make_voice: MakeVoice,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"voice.{kind.lower()}"
    samples = make_voice(5, rate=rate)
    soundfile.write(path, np.repeat(samples[:, None], channels, axis=1), rate, subtype=subtype, format=kind)
    outcome = listen("--input", path, "--fast", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    ends_s = [p.end_s for p in outcome.predictions]
    assert ends_s[:5] == [3.0, 3.5, 4.0, 4.5, 5.0]
    assert sum(p.dropped for p in outcome.predictions) == 0
    # A voice of the same loudness, whatever it is stored as.
    assert outcome.predictions[0].level_dbfs == pytest.approx(-17.7, abs=0.2)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_samples_that_are_no_audio_are_counted(
    rate: int, listen: Tonewatch, make_voice: MakeVoice, tmp_path: Path
) -> None:
    samples = make_voice(12, rate=rate)
    samples[rate : rate + 10] = np.nan
    samples[5 * rate : 5 * rate + 5] = np.inf
    samples[5 * rate + 5] = -np.inf
    path = tmp_path / "broken.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    outcome = listen("--input", path, "--fast", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    told = [m for m in outcome.messages if isinstance(m, Prediction | Status)]
    # With the bad samples go those before them that no window held yet: the first second, at the least.
    assert sum(m.dropped for m in told) >= 16_000
    assert any(isinstance(m, Status) and m.state is State.RECOVERING for m in told)
    ends_s = [p.end_s for p in outcome.predictions]
    assert any(4 < end_s < 5.1 for end_s in ends_s)
    assert any(end_s > 11 for end_s in ends_s)
    # Never on a window with a gap in it.
    assert not [p for p in outcome.predictions if p.start_s <= 5 < p.end_s]


# --- analyze ----------------------------------------------------------------------------------------------


@pytest.fixture
def analyze(tonewatch: Tonewatch, tiny_model: Path) -> Tonewatch:
    """Run `tonewatch analyze` with a small model."""

    def run(*arguments: str | Path) -> Outcome:
        return tonewatch("analyze", "--model", tiny_model, *arguments)

    return run


def record(folder: Path, make_voice: MakeVoice, labels: Sequence[str]) -> list[Path]:
    """Write short recordings whose names carry labels, in folders by speaker."""
    paths = []
    for number, label in enumerate(labels):
        name = f"03-01-{LABELS.index(label) + 1:02}-01-01-01-{number + 1:02}.wav"
        paths.append(folder / f"Actor_{number + 1:02}" / name)
        paths[-1].parent.mkdir(parents=True)
        soundfile.write(paths[-1], make_voice(3.6, seed=number), 16_000)
    return paths


def test_analyze_tells_what_was_lost(analyze: Tonewatch, recording: Path, tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole.flac", tmp_path / "torn.flac"
    soundfile.write(whole, *soundfile.read(recording))
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    outcome = analyze(torn, "--whole", "--format", "json")
    assert outcome.code == 0
    (found,) = json.loads(outcome.out)
    assert found["dropped"] > 0
    assert f"{torn}: {found['dropped']} samples lost" in outcome.err
    assert "announced" in outcome.err


def test_analyze_tells_a_reason_of_loss_once(
    analyze: Tonewatch, make_voice: MakeVoice, tmp_path: Path
) -> None:
    path = tmp_path / "holes.wav"
    samples = make_voice(13)
    samples[16_000 :: 4 * 16_000] = np.nan
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    outcome = analyze(path, "--whole")
    assert outcome.code == 0
    (line,) = outcome.err.splitlines()
    assert line.endswith(" samples lost: samples that are no audio: not a number, infinite, or huge")


def test_analyze_one_recording(analyze: Tonewatch, recording: Path) -> None:
    (found,) = json.loads(analyze(recording, "--format", "json").out)
    rows = list(csv.DictReader(analyze(recording, "--format", "csv").out.splitlines()))
    told = [event for event in found["events"] if event["type"] == "prediction"]
    assert [float(row["end_s"]) for row in rows] == [3.0, 3.5, 4.0, 4.5, 5.0] == [p["end_s"] for p in told]
    assert [row["label"] for row in rows] == [p["label"] for p in told]
    (whole,) = csv.DictReader(analyze(recording, "--format", "csv", "--whole").out.splitlines())
    (same,) = json.loads(analyze(recording, "--format", "json", "--whole").out)
    assert (whole["label"], whole["end_s"]) == (found["label"], "5.000")
    assert same == {key: value for key, value in found.items() if key != "events"}
    table = analyze(recording).out
    assert [p["label"] in table for p in told] == [True] * 5
    assert f"whole: {found['label']}" in table
    assert "accuracy" not in table


def test_analyze_recordings_of_one_speaker(
    tonewatch: Tonewatch, make_voice: MakeVoice, tmp_path: Path
) -> None:
    record(tmp_path, make_voice, ["happy", "sad", "angry"])

    def found(*words: str) -> list[float]:
        outcome = tonewatch("analyze", tmp_path, "--whole", "--format", "json", *words)
        assert outcome.code == 0
        return [one["probability"] for one in json.loads(outcome.out)]

    # Each has a folder of its own.
    assert found("--same-speaker", "folder") == found()
    assert all(ours != new for ours, new in zip(found("--same-speaker", "all"), found(), strict=True))


def test_analyze_refuses_to_get_used_to_a_speaker_with_a_model_that_cannot(
    analyze: Tonewatch, recording: Path
) -> None:
    outcome = analyze(recording, "--same-speaker", "all")
    assert outcome.code == 2
    assert "does not get used to speakers" in outcome.err
    assert "pair-88" in outcome.err


def test_analyze_label_track(analyze: Tonewatch) -> None:
    outcome = analyze(DEMO, "--format", "audacity")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.split("\t") for line in outcome.out.splitlines()]
    edges = [float(edge) for start, end, _ in lines for edge in (start, end)]
    assert edges == sorted(edges)
    assert all(float(start) < float(end) for start, end, _ in lines)
    assert edges[0] >= 0
    assert edges[-1] <= soundfile.info(DEMO).duration
    assert {label for *_, label in lines} <= set(LABELS)
    assert len(lines) > 3


def test_analyze_label_track_of_no_voice_is_empty(analyze: Tonewatch, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros(64_000), 16_000)
    outcome = analyze(tmp_path / "quiet.wav", "--format", "audacity")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_analyze_settings(analyze: Tonewatch, recording: Path) -> None:
    rows = list(csv.DictReader(analyze(recording, "--format", "csv", "--hop", "1").out.splitlines()))
    assert [row["end_s"] for row in rows] == ["3.000", "4.000", "5.000"]
    sure = list(
        csv.DictReader(analyze(recording, "--format", "csv", "--min-probability", "1").out.splitlines())
    )
    assert {row["label"] for row in sure} == {"unknown"}


def test_analyze_judges_here_whatever_server_the_file_names(
    tonewatch: Tonewatch, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('to = "ws://127.0.0.1:1"\nhop_s = 1.0\n')
    words = ("analyze", recording, "--model", tiny_model, "--format", "csv", "--config", path)
    outcome = tonewatch(*words)
    assert (outcome.code, outcome.err) == (0, "")
    rows = list(csv.DictReader(outcome.out.splitlines()))
    assert [row["end_s"] for row in rows] == ["3.000", "4.000", "5.000"]


def test_analyze_scores_what_names_say(analyze: Tonewatch, make_voice: MakeVoice, tmp_path: Path) -> None:
    truths = ["sad", "sad", "happy", "fearful", "angry", "fearful", "neutral", "sad"]
    paths = record(tmp_path / "all", make_voice, truths)
    found = json.loads(analyze(tmp_path / "all", "--whole", "--format", "json").out)
    assert [a["file"] for a in found] == [str(path) for path in paths]
    assert [a["truth"] for a in found] == truths
    pairs = Counter((a["truth"], a["label"]) for a in found)
    n_right = sum(n for (truth, label), n in pairs.items() if truth == label)
    occurring = set(truths) | {label for _, label in pairs}
    f1 = []
    for label in occurring:
        n_both = sum(n for pair, n in pairs.items() for side in pair if side == label)
        f1.append(2 * pairs[label, label] / n_both)
    outcome = analyze(tmp_path / "all", "--whole")
    assert (outcome.code, outcome.err) == (0, "")
    score = f"accuracy {n_right / 8:.1%}, macro F1 {sum(f1) / len(f1):.2f}, on 8 recordings"
    assert score in outcome.out
    matrix = outcome.out[outcome.out.index(score) :]
    lines = [line.strip("│") for line in matrix.splitlines() if line[0] == "│"]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines]
    header = next(line for line in matrix.splitlines() if "answer" in line)
    answers = [cell.strip() for cell in header.strip("┃").split("┃")][1:]
    told = {
        (truth, answer): int(cell)
        for truth, *cells in rows
        for answer, cell in zip(answers, cells, strict=True)
        if cell not in "·0"
    }
    assert told == dict(pairs)


def test_analyze_goes_on_after_a_file_that_cannot_be_used(
    analyze: Tonewatch, recording: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "broken.wav").write_text("no audio")
    (folder / "empty.flac").touch()
    outcome = analyze(folder, recording, "--whole", "--format", "csv")
    assert outcome.code == 2
    (row,) = csv.DictReader(outcome.out.splitlines())
    assert row["file"] == str(recording)
    broken, empty, count = outcome.err.splitlines()
    assert broken.startswith(f"tonewatch: {folder / 'broken.wav'} is not audio")
    assert empty.startswith(f"tonewatch: {folder / 'empty.flac'} is empty")
    assert count == "tonewatch: 2 of 3 files could not be judged"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text(analyze: Tonewatch, listen: Tonewatch, recording: Path) -> None:
    odd = recording.with_name(os.fsdecode(b"caf\xe9.wav"))
    recording.rename(odd)
    (found,) = json.loads(analyze(odd, "--whole", "--format", "json").out)
    assert found["file"].endswith("caf\ufffd.wav")
    for flags in ([], ["--whole"], ["--format", "csv"], ["--format", "audacity"]):
        outcome = analyze(odd, *flags)
        assert (outcome.code, outcome.err) == (0, "")
        assert found["label"] in outcome.out
    for flags in (["--json"], ["--lines"]):
        outcome = listen("--input", odd, "--fast", *flags)
        assert (outcome.code, outcome.err) == (0, "")
        assert "caf\ufffd.wav" in outcome.out


# --- devices and models -----------------------------------------------------------------------------------


def test_devices(tonewatch: Tonewatch, plug_in: PlugIn) -> None:
    plug_in("USB Camera", "Mic [bold]brackets[/]")
    outcome = tonewatch("devices")
    assert (outcome.code, outcome.err) == (0, "")
    header, *rows = [line for line in outcome.out.splitlines() if line[0] in "┃│"]
    assert [cell.strip() for cell in header.strip("┃").split("┃")][:2] == ["index", "name"]
    camera, other = ([cell.strip() for cell in row.strip("│").split("│")] for row in rows)
    assert camera == ["0", "USB Camera", "ALSA", "1", "48000 Hz", "yes"]
    assert other == ["1", "Mic [bold]brackets[/]", "ALSA", "1", "48000 Hz", ""]


@pytest.mark.usefixtures("my_models")
def test_models(tonewatch: Tonewatch) -> None:
    outcome = tonewatch("models")
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line for line in outcome.out.splitlines() if "tiny-" in line]
    assert [row.split()[1] for row in rows] == [
        "tiny-float16",
        "tiny-float32",
        "tiny-forest",
        "tiny-frames",
        "tiny-int8",
        "tiny-knn",
        "tiny-svm",
    ]
    assert all("3 s" in row and " 8 " in row for row in rows)


@pytest.mark.usefixtures("my_models")
def test_one_models_card(tonewatch: Tonewatch, tiny_model: Path) -> None:
    outcome = tonewatch("models", "tiny-float32")
    assert (outcome.code, outcome.err) == (0, "")
    for part in (", ".join(LABELS), "30 of 59", "Apache-2.0", "tests/training/make_test_models.py"):
        assert part in outcome.out
    assert tonewatch("models", str(tiny_model)).out == outcome.out
