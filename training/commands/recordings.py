"""From the flags about data to recordings that can be used: opened, read once, the bad ones named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from training.commands import options
from training.corpora import open_corpora

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from training.corpora import Corpus
    from training.corpora.survey import Survey
    from training.progress import Watcher


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings that can be used.

    Parameters
    ----------
    corpus
        Without the bad ones.
    digests
        SHA-256 of each one's file.
    """

    corpus: Corpus
    digests: tuple[str, ...]


def read_recordings(data: Sequence[str], arguments: argparse.Namespace, watcher: Watcher) -> Recordings:
    """Open corpora, read each recording once, and leave out those that would teach nothing.

    Parameters
    ----------
    data
        What is opened, as ``--data`` takes it.
    arguments
        The flags ``--map``, ``--cache``, ``--jobs`` and ``--cluster``.
    watcher
        Told of what is left out.

    Raises
    ------
    CorpusError, SettingsError
        Where nothing can be used.
    """
    surveyed = survey_recordings(data, arguments, watcher)
    for line in (*surveyed.corpus.warnings, *surveyed.left_out):
        watcher.warn(line)
    usable = replace(surveyed.corpus, warnings=())
    return Recordings(usable, tuple(facts.file_sha256 for facts in surveyed.facts))


def survey_recordings(data: Sequence[str], arguments: argparse.Namespace, watcher: Watcher) -> Survey:
    """Open corpora and read each recording once.

    Parameters and errors are those of `read_recordings`; what is wrong stands in what is returned.
    """
    # Here, since it loads numpy: `--help` stays quick.
    from training.corpora.survey import survey  # noqa: PLC0415

    workers = options.workers(arguments)
    corpus = open_corpora(data, options.label_map(arguments))
    watcher.begin("recordings", len(corpus.clips))
    surveyed = survey(corpus, cache=options.cache_folder(arguments), workers=workers, advance=watcher.advance)
    watcher.end(corpus.name)
    return surveyed
