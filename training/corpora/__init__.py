"""Where clips come from: their paths, labels and speakers, as files' names or a list say."""

from training.corpora.arguments import open_corpora
from training.corpora.clips import Channel, Clip, Corpus, Intensity
from training.corpora.folders import default_folder, parse_ravdess, read_folder, read_ravdess
from training.corpora.known import LAYOUTS
from training.corpora.layouts import Layout

__all__ = [
    "LAYOUTS",
    "Channel",
    "Clip",
    "Corpus",
    "Intensity",
    "Layout",
    "default_folder",
    "open_corpora",
    "parse_ravdess",
    "read_folder",
    "read_ravdess",
]
