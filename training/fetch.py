"""Corpora that may be loaded from their publishers: fetched, checked, unpacked, and never fetched twice.

References
----------
Livingstone & Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)", Zenodo,
2018, doi:10.5281/zenodo.1188976: the archives, their lengths and their MD5 digests.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from realtime.errors import CorpusError, SettingsError
from training.disk import require_room, writing
from training.download import Remote, download, has_md5, put_away
from training.unpack import Member, is_sound, list_members, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.download import Watcher

_UNPACKED = 2.5
"""How much larger the recordings are than their archive: 2.45 for the speech of RAVDESS."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A ZIP archive of recordings, as its publisher announces it.

    Parameters
    ----------
    part
        Which part of the corpus it is; its recordings go to the folder of this name.
    file
        Its name.
    n_bytes
        Its length.
    md5
        Its MD5 digest, in hexadecimal.
    n_recordings
        How many recordings it holds.
    recording
        A regular expression of their names, without suffix.
    """

    part: str
    file: str
    n_bytes: int
    md5: str
    n_recordings: int
    recording: str


@dataclass(frozen=True, slots=True)
class Published:
    """A corpus that its publisher lets anyone load.

    Parameters
    ----------
    name
        As the command knows it, and `training.corpora.default_folder`.
    description
        What it holds.
    licence
        What its licence asks, and of whom: a line for the user.
    url
        Address below which its archives are.
    archives
        What to load.
    """

    name: str
    description: str
    licence: str
    url: str
    archives: tuple[Archive, ...]

    @property
    def n_bytes(self) -> int:
        """Length of all archives."""
        return sum(archive.n_bytes for archive in self.archives)


RAVDESS = Published(
    name="ravdess",
    description="RAVDESS: 24 actors speak and sing two English sentences in eight emotions",
    licence=(
        "RAVDESS (Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391) is licensed under "
        "CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/: name its authors, use it for "
        "non-commercial purposes alone, and share what you make of it, models too, under the same licence"
    ),
    url="https://zenodo.org/records/1188976/files",
    archives=(
        Archive(
            part="speech",
            file="Audio_Speech_Actors_01-24.zip",
            n_bytes=208_468_073,
            md5="bc696df654c87fed845eb13823edef8a",
            n_recordings=1440,
            recording=r"03-01(-\d\d){5}",
        ),
        # Actor 18 sang none.
        Archive(
            part="song",
            file="Audio_Song_Actors_01-24.zip",
            n_bytes=225_505_317,
            md5="5411230427d67a21e18aa4d466e6d1b9",
            n_recordings=1012,
            recording=r"03-02(-\d\d){5}",
        ),
    ),
)
PUBLISHED = (RAVDESS,)
"""What `tonewatch-train fetch` knows."""


class _Contents(msgspec.Struct, frozen=True):
    """What a file beside the recordings says: what came of an archive, which may be gone since."""

    archive: str
    md5: str
    members: tuple[Member, ...]


def find_published(name: str) -> Published:
    """Return a corpus by its name.

    Raises
    ------
    SettingsError
        Where there is none; the message names the nearest, and all.
    """
    names = [published.name for published in PUBLISHED]
    if name in names:
        return PUBLISHED[names.index(name)]
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SettingsError(f"there is no corpus {name!r} to fetch; {hint}there are: {', '.join(names)}")


def fetch(
    published: Published,
    folder: Path,
    watcher: Watcher,
    *,
    keep_archives: bool = False,
    url: str | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Load what is missing of a corpus, and unpack it; return how many recordings were unpacked.

    What came of an archive is written beside the recordings, so that a later call needs no archive to tell
    whether they are there and sound.

    Parameters
    ----------
    published
        The corpus.
    folder
        Where to; is made if need be.
    watcher
        Told how it goes on.
    keep_archives
        Leave the archives in the folder once they are unpacked.
    url
        Another address below which the archives are, such as a mirror's.
    wait
        Waits between attempts, for seconds.

    Raises
    ------
    CorpusError
        Where an archive cannot be loaded or unpacked, and where the folder holds some of the recordings from
        elsewhere: a clip that is there twice would be trained on and tested with.
    """
    # All of it before anything is loaded: what cannot be done should not take minutes to say so.
    missing = [archive for archive in published.archives if not _is_there(folder, archive, watcher)]
    require_room(folder, _n_bytes_needed(folder, missing, keep_archives=keep_archives))
    n_unpacked = 0
    for archive in missing:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / archive.file
        if path.exists() and not has_md5(path, archive.md5):
            watcher.say(f"{path} has not the MD5 {archive.md5}; put away as {put_away(path)}")
        if not path.exists():
            remote = Remote(f"{url or published.url}/{archive.file}?download=1", archive.n_bytes, archive.md5)
            download(remote, path, watcher, task=f"loading {archive.part}", wait=wait)
        n_unpacked += _unpack(path, archive, watcher)
        if not keep_archives:
            with writing(path):
                path.unlink()
    return n_unpacked


def _is_there(folder: Path, archive: Archive, watcher: Watcher) -> bool:
    """Return whether all recordings of an archive are there; refuse where some are, from elsewhere."""
    members = _read_contents(_contents_path(folder, archive))
    if members and all(is_sound(folder / archive.part, member) for member in members):
        watcher.say(f"{archive.part}: {archive.n_recordings} recordings are there, and sound")
        return True
    ours = {folder / archive.part / member.path for member in members}
    name = re.compile(rf"{archive.recording}\.(wav|flac)", re.IGNORECASE)
    others = {path for path in folder.rglob("*") if name.fullmatch(path.name)} - ours
    if not others:
        return False
    if len({path.stem for path in others}) >= archive.n_recordings:
        watcher.say(f"{archive.part}: {archive.n_recordings} recordings are there, from elsewhere")
        return True
    raise CorpusError(
        f"{folder} holds {len(others)} of {archive.n_recordings} {archive.part} recordings from elsewhere; "
        "wanted all of them or none, lest clips be there twice: give another folder with --to, or move them "
        "away"
    )


def _n_bytes_needed(folder: Path, missing: list[Archive], *, keep_archives: bool) -> int:
    """Return how much the disk must have room for, at the worst moment, about."""
    packed = [0]
    for archive in missing:
        path = folder / archive.file
        there = [path.with_name(f"{path.name}.part"), path]
        packed.append(
            archive.n_bytes - max((part.stat().st_size for part in there if part.exists()), default=0)
        )
    unpacked = sum(_UNPACKED * archive.n_bytes for archive in missing)
    return round((sum(packed) if keep_archives else max(packed)) + unpacked)


def _unpack(path: Path, archive: Archive, watcher: Watcher) -> int:
    """Unpack what is missing or damaged; return how many recordings that were."""
    members = list_members(path)
    contents = _Contents(archive.file, archive.md5, members)
    target = _contents_path(path.parent, archive)
    partial = target.with_name(f"{target.name}.part")
    # First of all: after an interrupt, it tells what is there already from what came from elsewhere.
    with writing(target):
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(contents)) + b"\n")
        partial.replace(target)
    folder = path.parent / archive.part
    wanted = [member for member in members if not is_sound(folder, member)]
    unpack(path, wanted, folder, watcher, task=f"unpacking {archive.part}")
    return len(wanted)


def _contents_path(folder: Path, archive: Archive) -> Path:
    return (folder / archive.file).with_suffix(".json")


def _read_contents(path: Path) -> tuple[Member, ...]:
    """Return what came of an archive; nothing where that is not known."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Contents).members
    except (OSError, msgspec.DecodeError):
        return ()
