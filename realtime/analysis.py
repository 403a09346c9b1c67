"""Recordings judged whole: files and folders, answers and timelines, and how often they are right."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from realtime import messages
from realtime.decision import decide
from realtime.errors import SourceError, TonewatchError
from realtime.recognizer import Recognizer
from realtime.sources import FileSource
from realtime.types import LABELS, UNKNOWN, Prediction, Smoothing, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from realtime.recognizer import Model
    from realtime.speaker import Voice
    from realtime.types import Event

AUDIO_SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".w64",
        ".rf64",
    }
)
"""Endings of the files that are looked for in folders."""

NO_VOICE = "no voice"
"""What stands for the answer where no window held a voice; never a class."""

Confusion: TypeAlias = npt.NDArray[np.int64]

_RAVDESS_NAME = re.compile(r"\d{2}-\d{2}-(?P<emotion>0[1-8])-\d{2}-\d{2}-\d{2}-\d{2}")


def label_of_name(path: Path) -> str | None:
    """Return the emotion that a file's name carries, as RAVDESS writes it; None where it carries none.

    References
    ----------
    Livingstone & Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", 2018.
    """
    match = _RAVDESS_NAME.fullmatch(path.stem)
    return LABELS[int(match["emotion"]) - 1] if match else None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a recording with one label.

    Parameters
    ----------
    start_s, end_s
        Where it begins and ends, in seconds.
    label
        A class, or `unknown`.
    """

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in one recording.

    Parameters
    ----------
    path
        The file.
    labels
        The model's classes.
    duration_s
        Its length, in seconds.
    events
        Everything the recognizer said.
    label
        The answer for the whole: the likeliest class of the windows' mean, `unknown`, or `NO_VOICE`.
    probability
        Of the likeliest class; 0 without a voice.
    probabilities : np.ndarray [shape=(n_labels,)]
        Mean over the windows with a voice; zeros without one.
    truth
        The label that the file's name carries, if any.
    voice
        What the model got used to, if it gets used to speakers.
    """

    path: Path
    labels: tuple[str, ...]
    duration_s: float
    events: tuple[Event, ...]
    label: str
    probability: float
    probabilities: npt.NDArray[np.float32]
    truth: str | None
    voice: Voice | None = None

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """The windows with a voice."""
        return tuple(event for event in self.events if isinstance(event, Prediction))

    @property
    def dropped(self) -> int:
        """Samples that were lost, at the model's sample rate: the file is damaged or holds no numbers."""
        return sum(event.dropped for event in self.events if isinstance(event, Prediction | Status))

    @property
    def losses(self) -> tuple[str, ...]:
        """Why samples were lost, for people: each reason once."""
        statuses = (event for event in self.events if isinstance(event, Status) and event.dropped)
        return tuple(dict.fromkeys(status.detail for status in statuses if status.detail))

    def timeline(self) -> tuple[Stretch, ...]:
        """Return labelled stretches that do not overlap: each moment has the label of the window about it.

        A window speaks for the hop at its middle; where windows with a voice begin, for what is before that
        too, and where they end, for what is behind; but for nothing in which neither it nor another hears a
        voice. Neighbours of one label are joined.
        """
        stretches: list[Stretch] = []
        predictions, heard = self.predictions, self._heard()
        reached_s, n_past = 0.0, 0
        for i, p in enumerate(predictions):
            stream = p.stream
            middle, half = p.start + stream.window / 2, stream.hop / 2
            follows = i > 0 and p.start - predictions[i - 1].start == stream.hop
            leads = i + 1 < len(predictions) and predictions[i + 1].start - p.start == stream.hop
            start_s = (middle - half if follows else p.start) / stream.sample_rate
            end_s = (middle + half if leads else p.end) / stream.sample_rate
            start_s, end_s = max(start_s, reached_s), min(end_s, self.duration_s)
            reached_s = max(reached_s, end_s)
            while n_past < len(heard) and heard[n_past][1] <= start_s:
                n_past += 1
            at = n_past
            while at < len(heard) and heard[at][0] < end_s:
                _append(stretches, Stretch(max(start_s, heard[at][0]), min(end_s, heard[at][1]), p.label))
                at += 1
        return tuple(stretches)

    def _heard(self) -> list[tuple[float, float]]:
        """Return where windows hear a voice, in seconds: in order, and apart from one another."""
        heard: list[tuple[float, float]] = []
        for start_s, end_s in sorted(
            (p.stream.seconds(start), p.stream.seconds(end))
            for p in self.predictions
            for start, end in [p.heard]
        ):
            if heard and start_s <= heard[-1][1]:
                heard[-1] = (heard[-1][0], max(heard[-1][1], end_s))
            else:
                heard.append((start_s, end_s))
        return heard


def _append(stretches: list[Stretch], new: Stretch) -> None:
    """Append a stretch, joined with the last where that ends there and has its label."""
    if new.start_s >= new.end_s:
        return
    if stretches and (stretches[-1].label, stretches[-1].end_s) == (new.label, new.start_s):
        new = Stretch(stretches.pop().start_s, new.end_s, new.label)
    stretches.append(new)


def find_files(paths: Iterable[Path], report: Callable[[str], None]) -> list[Path]:
    """Return the audio files that are named, and those in the folders that are named, sorted by folder.

    In folders, files whose names begin with ``._`` are left out: macOS keeps attributes of others in them.

    Parameters
    ----------
    paths
        Files and folders.
    report
        Takes a line for people about a folder within a named one that may not be looked into.

    Raises
    ------
    SourceError
        Where something named does not exist, or may not be looked at, or a folder holds no audio.
    """
    files: list[Path] = []
    for path in paths:
        try:
            files += _files_at(path, report)
        except OSError as error:
            raise SourceError(_refusal(path, error)) from error
    return files


def _files_at(path: Path, report: Callable[[str], None]) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder")
        return [path]

    def refuse(error: OSError) -> None:
        inside = Path(error.filename)
        if inside == path:
            raise error
        report(_refusal(inside, error))

    inside = [Path(folder, name) for folder, _, names in os.walk(path, onerror=refuse) for name in names]
    files = sorted(p for p in inside if has_name_of_audio(p) and _may_be_file(p))
    if not files:
        endings = " ".join(sorted(AUDIO_SUFFIXES))
        raise SourceError(f"{path}: a folder without audio; wanted files that end in one of {endings}")
    return files


def _refusal(path: Path, error: OSError) -> str:
    return f"{path}: {error.strerror or error}; wanted a file or folder that can be read"


def has_name_of_audio(path: Path) -> bool:
    """Tell whether a file in a folder is called as audio is; nothing is opened."""
    # Beside each file on disks of others macOS writes one of that name behind "._", which is no audio.
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("._")


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # Where nobody may look, whoever opens it is told why.
        return True


def analyze(
    path: Path,
    model: Model,
    *,
    hop_s: float | None = None,
    smoothing: Smoothing | None = None,
    min_probability: float = 0.0,
    voice: Voice | None = None,
) -> Analysis:
    """Judge one recording.

    Parameters
    ----------
    path
        The file.
    model
        What judges windows.
    hop_s, smoothing, min_probability, voice
        As in `realtime.recognizer.Recognizer`.

    Raises
    ------
    SourceError
        Where the file is no audio, or holds none.
    """
    rate = model.spec.sample_rate
    with FileSource(path, rate, fast=True) as source:
        recognizer = Recognizer(
            model,
            hop_s=hop_s,
            smoothing=smoothing,
            min_probability=min_probability,
            voice=voice,
            name=source.name,
        )
        events = [event for chunk in source for event in recognizer.push(chunk)]
    events += recognizer.finish()
    stopped = events[-1]
    assert isinstance(stopped, Status)
    # As messages tell them, rounded: whoever has only those comes to the same answer.
    told = [messages.to_message(event) for event in events]
    rows = [list(one.probabilities.values()) for one in told if isinstance(one, messages.Prediction)]
    mean = np.mean(rows, axis=0, dtype=np.float64) if rows else np.zeros(len(model.labels))
    probabilities = mean.astype(np.float32)
    label, probability = decide(probabilities, model.labels, min_probability)
    return Analysis(
        path=path,
        labels=model.labels,
        duration_s=stopped.since / rate,
        events=tuple(events),
        label=label if rows else NO_VOICE,
        probability=probability,
        probabilities=probabilities,
        truth=label_of_name(path),
        voice=recognizer.voice,
    )


def analyze_all(
    files: Iterable[Path], judge: Callable[[Path], Analysis], report: Callable[[str], None]
) -> Iterable[Analysis]:
    """Yield what was found in each file; report those that cannot be read, and go on.

    Parameters
    ----------
    files
        Which.
    judge
        `analyze` with its settings.
    report
        Takes a line for people about a file that was left out.
    """
    for path in files:
        try:
            yield judge(path)
        except TonewatchError as error:
            report(str(error))


@dataclass(frozen=True, slots=True)
class Score:
    """How often answers agree with labels.

    Parameters
    ----------
    labels
        The classes, and the rows of `confusion`.
    answers
        The columns of `confusion`: the classes, `unknown`, and `NO_VOICE`.
    confusion : np.ndarray [shape=(n_labels, n_labels + 2)]
        Number of recordings by true label and answer.
    """

    labels: tuple[str, ...]
    answers: tuple[str, ...]
    confusion: Confusion

    @property
    def n(self) -> int:
        """Number of recordings scored."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of the recordings whose answer is right."""
        return float(np.trace(self.confusion) / self.n)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur, as label or as answer."""
        right = np.diag(self.confusion)
        n_true = self.confusion.sum(axis=1)
        n_answered = self.confusion[:, : len(self.labels)].sum(axis=0)
        present = (n_true + n_answered) > 0
        return float(np.mean(2 * right[present] / (n_true + n_answered)[present]))


def score(analyses: Iterable[Analysis], labels: tuple[str, ...]) -> Score | None:
    """Score the recordings whose names carry a label that the model knows; None where none does."""
    answers = (*labels, UNKNOWN, NO_VOICE)
    confusion: Confusion = np.zeros((len(labels), len(answers)), dtype=np.int64)
    for analysis in analyses:
        if analysis.truth in labels:
            confusion[labels.index(analysis.truth), answers.index(analysis.label)] += 1
    return Score(labels, answers, confusion) if confusion.any() else None
