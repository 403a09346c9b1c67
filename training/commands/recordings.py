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
    # Here, since it loads numpy: `--help` stays quick.
    from training.corpora.survey import survey  # noqa: PLC0415

    corpus = open_corpora(data, options.label_map(arguments))
    watcher.begin("recordings", len(corpus.clips))
    surveyed = survey(
        corpus,
        cache=options.cache_folder(arguments),
        workers=options.workers(arguments),
        advance=watcher.advance,
    )
    watcher.end(corpus.name)
    for line in (*corpus.warnings, *surveyed.left_out):
        watcher.warn(line)
    usable = replace(surveyed.corpus, warnings=())
    return Recordings(usable, tuple(facts.file_sha256 for facts in surveyed.facts))
