"""Corpora as the command line names them: found, given our labels, and combined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from realtime.errors import CorpusError
from realtime.types import LABELS
from training.corpora.clips import Corpus
from training.corpora.folders import default_folder, find_gaps, read_folder, recognise
from training.corpora.known import LAYOUTS
from training.corpora.tables import read_table

if TYPE_CHECKING:
    from training.corpora.layouts import Layout

_TABLE = ".csv"


def open_corpora(arguments: Sequence[str], label_map: Mapping[str, str] = MappingProxyType({})) -> Corpus:
    """Find corpora, give their clips our labels, and combine them into one.

    The order of the arguments does not matter: known corpora come first, in the order of `known.LAYOUTS`,
    then CSV files by name. Fold i has the speakers of every corpus's i-th fold.

    Parameters
    ----------
    arguments
        Each ``NAME`` (in `default_folder`), ``NAME=FOLDER``, the path of a CSV file, ``NAME=FILE.csv``, or
        a folder whose files' names say which corpus it is.
    label_map
        Which of `realtime.types.LABELS` other labels mean; it may also rename one of ours.

    Raises
    ------
    CorpusError
        Where one cannot be found or read, is given twice, a speaker stands in two folds, a label is mapped
        to none of ours, or no clip is left.
    """
    if not arguments:
        raise CorpusError(f"no corpus is named; wanted one of {', '.join(LAYOUTS)}, a folder or a .csv file")
    corpora = [_open(argument) for argument in arguments]
    names = Counter(name for corpus in corpora for name in corpus.labels)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        raise CorpusError(
            f"{twice[0]} is given twice; wanted each corpus once: put its recordings below one folder, or "
            "name a CSV file otherwise with NAME=FILE.csv"
        )
    corpora.sort(key=_rank)
    return _relabel(_combine(corpora), label_map)


def _open(argument: str) -> Corpus:
    name, equals, place = argument.partition("=")
    if argument in LAYOUTS:
        return _read(LAYOUTS[argument], default_folder(argument))
    if equals and place.lower().endswith(_TABLE) and not Path(argument).exists():
        return read_table(Path(place), name)
    if name in LAYOUTS and place:
        return _read(LAYOUTS[name], Path(place))
    path = Path(argument)
    if path.suffix.lower() == _TABLE:
        return read_table(path)
    if argument and path.is_dir():
        return _read(recognise(path), path)
    raise CorpusError(
        f"{argument} is no corpus, folder or .csv file; wanted one of {', '.join(LAYOUTS)}, NAME=FOLDER with "
        "one of these, a folder or a .csv file (path,label,speaker)"
    )


def _read(layout: Layout, folder: Path) -> Corpus:
    corpus = read_folder(layout, folder)
    return replace(corpus, warnings=(*find_gaps(layout, folder, corpus.clips), *corpus.warnings))


def _rank(corpus: Corpus) -> tuple[int, str]:
    (name,) = corpus.labels
    return (list(LAYOUTS).index(name) if name in LAYOUTS else len(LAYOUTS), name)


def _combine(corpora: Sequence[Corpus]) -> Corpus:
    folds = tuple(
        tuple(dict.fromkeys(speaker for fold in group for speaker in fold))
        for group in zip_longest(*(corpus.folds for corpus in corpora), fillvalue=())
    )
    n_folds = Counter(speaker for fold in folds for speaker in fold)
    twice = sorted(speaker for speaker, n in n_folds.items() if n > 1)
    if twice:
        raise CorpusError(
            f"the speaker {twice[0]!r} is in several corpora and would stand in two folds; wanted each in "
            "one: list what one person said in one CSV file, or name different people differently"
        )
    return Corpus(
        " + ".join(corpus.name for corpus in corpora),
        "; ".join(corpus.licence for corpus in corpora),
        tuple(clip for corpus in corpora for clip in corpus.clips),
        folds,
        {name: labels for corpus in corpora for name, labels in corpus.labels.items()},
        tuple(line for corpus in corpora for line in corpus.warnings),
    )


def _relabel(corpus: Corpus, label_map: Mapping[str, str]) -> Corpus:
    """Give every clip one of our labels; leave out those for whose label there is none."""
    label_map = {label.lower(): ours for label, ours in label_map.items()}
    for label, ours in label_map.items():
        if ours not in LABELS:
            raise CorpusError(f"the label {label!r} is mapped to {ours!r}; wanted one of {', '.join(LABELS)}")
    meanings = {label: label for label in LABELS} | label_map
    clips = [replace(clip, label=meanings[clip.label]) for clip in corpus.clips if clip.label in meanings]
    foreign = Counter(clip.label for clip in corpus.clips if clip.label not in meanings)
    warnings = [_describe_foreign(corpus, label, n) for label, n in foreign.items()]
    known = {label for labels in corpus.labels.values() for label in labels}
    warnings += [
        f"the label {label!r} is mapped to {ours!r}, but no corpus has it; it has {', '.join(sorted(known))}"
        for label, ours in label_map.items()
        if label not in known
    ]
    if not clips:
        raise CorpusError(f"no clip of {corpus.name} has a label that is known here: {warnings[0]}")
    labels = {}
    for name, own in corpus.labels.items():
        meant = {meanings.get(label) for label in own}
        labels[name] = tuple(label for label in LABELS if label in meant)
    return replace(corpus, clips=tuple(clips), labels=labels, warnings=(*corpus.warnings, *warnings))


def _describe_foreign(corpus: Corpus, label: str, n_clips: int) -> str:
    names = sorted({clip.corpus for clip in corpus.clips if clip.label == label})
    return (
        f"{n_clips} clip{'s' if n_clips > 1 else ''} of {', '.join(names)} carry the label {label!r}, which "
        f"is none of {', '.join(LABELS)}; left out: say what it means with --map {label}=LABEL"
    )
