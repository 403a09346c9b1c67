from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from realtime import analysis, classifier
from realtime.analysis import NO_VOICE, Analysis, Stretch
from realtime.errors import SourceError
from realtime.recognizer import Recognizer
from realtime.types import LABELS, UNKNOWN, Prediction, State, Status, Stream

if TYPE_CHECKING:
    from realtime.loaded import LoadedModel
    from tests.conftest import MakeVoice

RATE, WINDOW, HOP = 16_000, 48_000, 8_000
STREAM = Stream("a.wav", "tiny", LABELS, RATE, WINDOW, HOP)


def judged(
    starts: list[int],
    labels: list[str],
    *,
    duration_s: float,
    truth: str | None = None,
    label: str = "sad",
    voices_s: list[tuple[float, float]] | None = None,
) -> Analysis:
    """Make an analysis with a prediction at each start, in samples, and where they hear a voice, if known."""
    shares = tuple(np.full(len(LABELS), 1 / len(LABELS)).tolist())
    predictions = [
        Prediction(STREAM, seq, start, start + WINDOW, name, 0.5, shares, shares, -20.0)
        for seq, (start, name) in enumerate(zip(starts, labels, strict=True))
    ]
    if voices_s is not None:
        predictions = [
            replace(p, voice_start=round(begin_s * RATE), voice_end=round(end_s * RATE))
            for p, (begin_s, end_s) in zip(predictions, voices_s, strict=True)
        ]
    return Analysis(
        Path("a.wav"), LABELS, duration_s, tuple(predictions), label, 0.5, np.array(shares), truth
    )


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LoadedModel:
    return classifier.load(tiny_model)


@pytest.fixture
def recording(tmp_path: Path, make_voice: MakeVoice) -> Path:
    path = tmp_path / "03-01-05-01-02-01-12.wav"
    soundfile.write(path, make_voice(5.3), RATE)
    return path


# --- names and files --------------------------------------------------------------------------------------


def test_labels_of_names() -> None:
    for number, label in enumerate(LABELS, start=1):
        assert analysis.label_of_name(Path(f"x/03-01-{number:02}-01-02-01-12.wav")) == label
    for name in (
        "03-01-09-01-02-01-12",
        "03-01-00-01-02-01-12",
        "03-01-05-01-02-01",
        "my 03-01-05-01-02-01-12",
    ):
        assert analysis.label_of_name(Path(f"{name}.wav")) is None


def test_files_are_found_in_folders(tmp_path: Path) -> None:
    for name in ("b/2.FLAC", "b/._2.FLAC", "b/deep/er/3.ogg", "b/notes.txt", "b/1.wav", "a.mp3", "odd.name"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "folder.wav").mkdir()
    names = [tmp_path / "b" / name for name in ("1.wav", "2.FLAC", "deep/er/3.ogg")]
    assert analysis.find_files([tmp_path / "b"], pytest.fail) == names
    # What is named is taken, whatever its name ends in, in the order given.
    named = [tmp_path / "odd.name", tmp_path / "a.mp3", tmp_path / "b" / "._2.FLAC"]
    assert analysis.find_files([named[0], tmp_path / "b", *named[1:]], pytest.fail) == [
        named[0],
        *names,
        *named[1:],
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty: a folder without audio; wanted files that end in .*\.wav"):
        analysis.find_files([tmp_path / "empty"], pytest.fail)
    with pytest.raises(SourceError, match="none: no such file or folder"):
        analysis.find_files([tmp_path / "none"], pytest.fail)


# --- one recording ----------------------------------------------------------------------------------------


def test_a_recording_gives_what_the_stream_would(recording: Path, model: LoadedModel) -> None:
    found = analysis.analyze(recording, model)
    recognizer = Recognizer(model)
    samples, _ = soundfile.read(recording, dtype="float32")
    events = recognizer.push(samples) + recognizer.finish()
    expected = [event for event in events if isinstance(event, Prediction)]
    assert [(p.start, p.end, p.label, p.probabilities) for p in found.predictions] == [
        (p.start, p.end, p.label, p.probabilities) for p in expected
    ]
    assert found.duration_s == pytest.approx(5.3)
    assert found.truth == "angry"
    mean = np.mean([p.probabilities for p in expected], axis=0)
    # Of the probabilities as messages tell them, with 6 digits.
    np.testing.assert_allclose(found.probabilities, mean, rtol=0, atol=1e-6)
    assert found.label == LABELS[int(mean.argmax())]
    assert found.probability == pytest.approx(mean.max())


def test_a_recording_without_a_voice(tmp_path: Path, model: LoadedModel) -> None:
    path = tmp_path / "noise.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(5 * RATE), RATE)
    found = analysis.analyze(path, model)
    assert (found.label, found.probability, found.predictions, found.timeline()) == (NO_VOICE, 0, (), ())
    assert not found.probabilities.any()
    assert any(isinstance(event, Status) and event.state is State.SILENT for event in found.events)


def test_a_short_recording_whose_end_is_damaged_is_judged(
    tmp_path: Path, make_voice: MakeVoice, model: LoadedModel
) -> None:
    path, decoded = tmp_path / "torn.flac", tmp_path / "decoded.flac"
    soundfile.write(path, make_voice(2.5), RATE)
    path.write_bytes(path.read_bytes()[:-300])
    found = analysis.analyze(path, model)
    n_decoded = found.predictions[-1].end
    assert RATE < n_decoded < 2.5 * RATE
    assert n_decoded + found.dropped == found.duration_s * RATE == 2.5 * RATE
    # As a recording is that ends there.
    soundfile.write(decoded, make_voice(2.5)[:n_decoded], RATE)
    expected = analysis.analyze(decoded, model)
    assert (found.label, found.probability) == (expected.label, expected.probability)
    assert any("the rest is damaged" in why for why in found.losses)


def test_an_answer_that_is_not_sure_is_unknown(recording: Path, model: LoadedModel) -> None:
    sure = analysis.analyze(recording, model)
    found = analysis.analyze(recording, model, min_probability=sure.probability + 0.01)
    assert found.label == UNKNOWN
    assert found.probability == sure.probability


def test_unreadable_files_are_reported_and_the_others_judged(
    tmp_path: Path, recording: Path, model: LoadedModel
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_text("no audio")
    reports: list[str] = []
    files = [broken, recording, tmp_path / "gone.wav", recording]
    found = list(analysis.analyze_all(files, lambda path: analysis.analyze(path, model), reports.append))
    assert [a.path for a in found] == [recording, recording]
    assert [str(broken) in reports[0], "gone.wav does not exist" in reports[1], len(reports)] == [
        True,
        True,
        2,
    ]


def test_a_reason_of_loss_is_told_once() -> None:
    found = judged([], [], duration_s=9)
    reasons = ["no numbers", "the file ends early", "no numbers", "", "no numbers"]
    lost = tuple(Status(STREAM, State.RECOVERING, reason, 0, 0, dropped=7) for reason in reasons)
    others = (Status(STREAM, State.SILENT, "no voice", 0, 0),)
    found = replace(found, events=(*others, *lost))
    assert (found.dropped, found.losses) == (35, ("no numbers", "the file ends early"))


# --- timelines --------------------------------------------------------------------------------------------


def test_timeline_of_neighbours() -> None:
    starts = [0, HOP, 2 * HOP, 3 * HOP]
    found = judged(starts, ["sad", "sad", "happy", "sad"], duration_s=4.5)
    # Windows of 3 s, every half second: their middles are at 1.5, 2, 2.5 and 3 s.
    assert found.timeline() == (
        Stretch(0, 2.25, "sad"),
        Stretch(2.25, 2.75, "happy"),
        Stretch(2.75, 4.5, "sad"),
    )


def test_timeline_with_a_pause() -> None:
    found = judged([0, 10 * HOP], ["sad", "sad"], duration_s=7.9)
    assert found.timeline() == (Stretch(0, 3, "sad"), Stretch(5, 7.9, "sad"))


def test_timeline_of_less_than_a_window() -> None:
    assert judged([0], ["happy"], duration_s=0.6).timeline() == (Stretch(0, 0.6, "happy"),)


def test_a_timeline_begins_and_ends_with_the_voice() -> None:
    # A word from 10 to 11 s: windows hear it from 7.5 to 13.5 s on.
    starts = [HOP * k for k in range(15, 22)]
    voices_s = [(10.0, min(11.0, start / RATE + 3)) for start in starts]
    labels = ["neutral", "neutral", "happy", "sad", "sad", "angry", "angry"]
    found = judged(starts, labels, duration_s=20, voices_s=voices_s)
    # Their middles are at 9, 9.5, 10, and so on: what the first and the last ones say is of silence.
    assert found.timeline() == (Stretch(9.8, 10.25, "happy"), Stretch(10.25, 11.2, "sad"))


def test_a_pause_that_no_window_hears_across_is_a_hole() -> None:
    starts = [HOP * k for k in [*range(5, 16), *range(19, 26)]]
    voices_s = [(max(5.0, s / RATE), min(8.0, s / RATE + 3)) for s in starts[:11]]
    voices_s += [(12.0, min(15.0, s / RATE + 3)) for s in starts[11:]]
    found = judged(starts, ["sad"] * len(starts), duration_s=15.1, voices_s=voices_s)
    assert found.timeline() == (Stretch(4.8, 8.2, "sad"), Stretch(11.8, 15.1, "sad"))
    # Of a server that does not tell, it goes on.
    untold = judged(starts, ["sad"] * len(starts), duration_s=15.1)
    assert untold.timeline() == (Stretch(2.5, 15.1, "sad"),)


def test_of_what_several_windows_hear_all_counts() -> None:
    voices_s = [(0.5, 1.0), (0.5, 2.9), (2.7, 2.9)]
    found = judged([0, HOP, 2 * HOP], ["sad", "sad", "happy"], duration_s=9, voices_s=voices_s)
    assert found.timeline() == (Stretch(0.3, 2.25, "sad"), Stretch(2.25, 3.1, "happy"))


def test_a_recording_with_pauses(tmp_path: Path, model: LoadedModel, make_voice: MakeVoice) -> None:
    path = tmp_path / "pauses.wav"
    room = 1e-4 * np.random.default_rng(1).standard_normal(4 * RATE)
    pieces = [room, make_voice(1.0), room, make_voice(2.0, seed=1), room]
    soundfile.write(path, np.concatenate(pieces), RATE)
    stretches = analysis.analyze(path, model).timeline()
    inside = [s for s in stretches if s.end_s < 6]
    assert [inside[0].start_s, inside[-1].end_s] == pytest.approx([3.8, 5.2], abs=0.25)
    behind = [s for s in stretches if s.end_s >= 6]
    assert [behind[0].start_s, behind[-1].end_s] == pytest.approx([8.8, 11.2], abs=0.25)


@given(
    st.lists(
        st.tuples(st.sampled_from([HOP, HOP, HOP, 2 * HOP, 7 * HOP, 70_001]), st.sampled_from(LABELS[:3])),
        min_size=1,
    ),
    st.floats(0, 3),
)
def test_timelines_never_overlap(steps: list[tuple[int, str]], cut_s: float) -> None:
    starts = np.cumsum([step for step, _ in steps]).tolist()
    labels = [label for _, label in steps]
    # The last window may be filled up with silence, so that the recording ends inside it.
    duration_s = (starts[-1] + WINDOW) / RATE - cut_s
    found = judged(starts, labels, duration_s=duration_s)
    stretches = found.timeline()
    edges = [edge for s in stretches for edge in (s.start_s, s.end_s)]
    assert edges == sorted(edges)
    assert all(0 <= s.start_s < s.end_s <= duration_s for s in stretches)
    for one, other in pairwise(stretches):
        assert one.label != other.label or one.end_s < other.start_s
    for i, start in enumerate(starts):
        middle_s = (start + WINDOW / 2) / RATE
        is_inside = 0 < i < len(starts) - 1 and start - starts[i - 1] == starts[i + 1] - start == HOP
        if is_inside and middle_s < duration_s:
            (there,) = (s for s in stretches if s.start_s <= middle_s < s.end_s)
            assert there.label == labels[i]


# --- scores -----------------------------------------------------------------------------------------------


def test_score() -> None:
    pairs = [("sad", "sad")] * 3 + [
        ("sad", "angry"),
        ("angry", "angry"),
        ("angry", UNKNOWN),
        ("happy", NO_VOICE),
    ]
    analyses = [judged([], [], duration_s=1, truth=truth, label=answer) for truth, answer in pairs]
    analyses += [judged([], [], duration_s=1, truth=None), judged([], [], duration_s=1, truth="calm")]
    labels = ("happy", "sad", "angry")
    found = analysis.score(analyses, labels)
    assert found is not None
    assert found.answers == ("happy", "sad", "angry", UNKNOWN, NO_VOICE)
    assert found.confusion.tolist() == [[0, 0, 0, 0, 1], [0, 3, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert found.n == 7
    assert found.accuracy == pytest.approx(4 / 7)
    # happy: never answered; sad: 3 right of 4 true, 3 answered; angry: 1 right of 2 true, 2 answered.
    assert found.macro_f1 == pytest.approx((0 + 2 * 3 / 7 + 2 * 1 / 4) / 3)


def test_nothing_to_score() -> None:
    unlabelled = judged([], [], duration_s=1)
    foreign = judged([], [], duration_s=1, truth="calm")
    assert analysis.score([], LABELS) is None
    assert analysis.score([unlabelled], LABELS) is None
    assert analysis.score([foreign], ("sad",)) is None
