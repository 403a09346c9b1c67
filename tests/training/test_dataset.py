from __future__ import annotations

import errno
import gc
import hashlib
import operator
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from realtime.activity import hears_voice
from realtime.errors import CorpusError, SourceError
from realtime.features import WindowExtractor
from realtime.sources.file import FileSource
from training import corpora, dataset, packages
from training.augmentation import CONDITIONS, Noises, clip_rng, degrade
from training.dataset import AsItIs, Copies, Degraded
from training.recipes.schema import Gain, Noise, Silence
from training.workers import Workers

if TYPE_CHECKING:
    from training.corpora import Clip, Corpus
    from training.dataset import Variation, Windows
    from training.recipes import Recipe
    from training.study import Study

ROOT = Path(__file__).resolve().parents[2]
STEPS = (Gain(gain_db=(-3.0, 3.0)), Silence(before_s=(0.0, 0.5)))
QUIET = next(condition for condition in CONDITIONS if condition.name == "quiet")


def same(first: Windows, second: Windows) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("clip", "copy", "features", "voiced")
    )


def copies(n: int = 2, *, seed: int = 1, noises: Noises | None = None) -> Copies:
    return Copies(STEPS, n, seed, noises or Noises())


@pytest.fixture
def clips(corpus: Corpus) -> list[Clip]:
    return list(corpus.clips[:5])


def extract(
    recipe: Recipe, clips: list[Clip], cache: Path, variation: Variation | None = None, *, n_jobs: int = 1
) -> Windows:
    digests = [
        hashlib.sha256(clip.path.read_bytes()).hexdigest() if clip.path.exists() else "0" * 64
        for clip in clips
    ]
    return dataset.extract(
        recipe,
        clips,
        digests,
        variation=variation or AsItIs(),
        cache=cache,
        workers=Workers(n_jobs),
    )


def live(recipe: Recipe, path: Path) -> list[Any]:
    """Return the windows that a stream gives."""
    extractor = WindowExtractor(recipe.features, window=recipe.window, hop=recipe.hop)
    with FileSource(path, recipe.features.sample_rate, fast=True) as source:
        due = [window for chunk in source for window in extractor.push(chunk.samples)]
    return due + list(extractor.finish())


def kept(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.npy"))


def test_windows_are_those_that_a_stream_would_give(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    windows = extract(recipe, clips, tmp_path)
    assert not windows.copy.any()
    for index, clip in enumerate(clips):
        due = live(recipe, clip.path)
        rows = windows.clip == index
        assert np.array_equal(windows.features[rows], [window.features for window in due])
        assert windows.voiced[rows].tolist() == [
            hears_voice(window.voice_rms, window.harmonicity, recipe.features) for window in due
        ]


def test_copies_differ_from_the_clip_and_from_each_other(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    plain = extract(recipe, clips, tmp_path)
    varied = extract(recipe, clips, tmp_path, copies())
    assert set(varied.copy) == {1, 2}
    together = dataset.with_copies(plain, varied, tmp_path)
    assert set(together.copy) == {0, 1, 2}
    assert (np.diff(together.clip * 3 + together.copy) >= 0).all()
    firsts = [together.features[(together.clip == 0) & (together.copy == copy)][0] for copy in range(3)]
    assert not np.array_equal(firsts[0], firsts[1])
    assert not np.array_equal(firsts[1], firsts[2])
    rows = together.copy == 0
    assert np.array_equal(together.features[rows], plain.features)
    assert np.array_equal(together.voiced[~rows & (together.clip == 3)], varied.voiced[varied.clip == 3])


def test_a_degraded_clip_stands_for_the_clip(recipe: Recipe, clips: list[Clip], tmp_path: Path) -> None:
    found = extract(recipe, clips[:1], tmp_path, Degraded(QUIET, Noises()))
    assert not found.copy.any()
    digest = hashlib.sha256(clips[0].path.read_bytes()).hexdigest()
    samples = dataset.read_clip(clips[0].path, recipe.features.sample_rate)
    rng = clip_rng(digest)
    quiet = degrade(samples, recipe.features.sample_rate, QUIET, rng, Noises())
    soundfile.write(tmp_path / "quiet.wav", quiet, recipe.features.sample_rate, subtype="FLOAT")
    assert np.array_equal(
        found.features, [window.features for window in live(recipe, tmp_path / "quiet.wav")]
    )


@pytest.mark.parametrize("deaf", [{"audible_above_dbfs": 0.0}, {"harmonic_energy": 1.0}], ids=str)
def test_another_idea_of_voices_reads_no_audio_again(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: dict[str, Any]
) -> None:
    first = extract(recipe, clips, tmp_path)
    monkeypatch.setattr(dataset, "read_clip", lambda *_: pytest.fail("audio was read again"))
    again = extract(replace(recipe, features=replace(recipe.features, **deaf)), clips, tmp_path)
    assert np.array_equal(first.features, again.features)
    assert first.voiced.any()
    assert not again.voiced.any()


@pytest.mark.parametrize("variation", [AsItIs(), copies()], ids=["as it is", "copies"])
def test_a_second_run_reads_no_audio(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variation: Variation
) -> None:
    first = extract(recipe, clips, tmp_path, variation)
    monkeypatch.setattr(dataset, "read_clip", lambda *_: pytest.fail("audio was read again"))
    assert same(first, extract(recipe, clips, tmp_path, variation))


def test_it_is_told_how_many_are_done(recipe: Recipe, clips: list[Clip], tmp_path: Path) -> None:
    for n_kept in (0, 2, 5):
        done: list[int] = []
        some = clips[: n_kept or 2]
        digests = [hashlib.sha256(clip.path.read_bytes()).hexdigest() for clip in some]
        dataset.extract(
            recipe,
            some,
            digests,
            variation=AsItIs(),
            cache=tmp_path,
            workers=Workers(),
            advance=done.append,
        )
        assert sum(done) == len(some)
        assert done[0] == min(n_kept, 2)


def test_what_is_kept_belongs_to_content_and_parameters(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    extract(recipe, clips[:1], tmp_path)
    renamed = tmp_path / "03-01-01-01-01-01-24.flac"
    shutil.copy(clips[0].path, renamed)
    extract(recipe, [replace(clips[0], path=renamed)], tmp_path)
    assert len(kept(tmp_path)) == 1
    # What decides about models alone decides about no feature.
    extract(replace(recipe, name="other", balance="none"), clips[:1], tmp_path)
    assert len(kept(tmp_path)) == 1
    extract(replace(recipe, hop_s=0.25), clips[:1], tmp_path)
    extract(replace(recipe, window_s=0.5), clips[:1], tmp_path)
    extract(replace(recipe, features=replace(recipe.features, power_floor=1e-6)), clips[:1], tmp_path)
    assert len(kept(tmp_path)) == 4
    for variation in (copies(1), copies(2), copies(1, seed=2), Degraded(QUIET, Noises())):
        extract(recipe, clips[:1], tmp_path, variation)
    assert len(kept(tmp_path)) == 8


def test_copies_with_other_noise_are_kept_elsewhere(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    found = []
    for name in ("one", "two"):
        folder = tmp_path / "noise" / name
        folder.mkdir(parents=True)
        soundfile.write(folder / "wind.wav", 0.1 * rng.standard_normal(16_000), 16_000)
        variation = Copies((Noise(snr_db=(5.0, 5.0)),), 1, 1, Noises(folder))
        found.append(extract(recipe, clips[:1], tmp_path / "cache", variation))
    assert len(kept(tmp_path)) == 2
    assert not np.array_equal(found[0].features, found[1].features)
    # Who needs no noise is not asked for any.
    extract(recipe, clips[:1], tmp_path / "cache", copies(noises=Noises(tmp_path / "nowhere")))
    variation = Copies((Noise(),), 1, 1, Noises(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match="nowhere is not a folder; wanted recordings of noise"):
        extract(recipe, clips[:1], tmp_path / "cache", variation)


def test_other_code_keeps_its_own(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dataset.code_digest(AsItIs()) == dataset.code_digest(AsItIs())
    assert dataset.code_digest(AsItIs()) != dataset.code_digest(copies())
    assert dataset.code_digest(copies()) != dataset.code_digest(Degraded(QUIET, Noises()))
    extract(recipe, clips[:1], tmp_path)
    monkeypatch.setattr(dataset, "_CODE", (*dataset._CODE, "types.py"))
    extract(recipe, clips[:1], tmp_path)
    assert len(kept(tmp_path)) == 2


def test_other_versions_of_packages_keep_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (AsItIs(), copies(), Degraded(QUIET, Noises()))
    for package, decides in (("soxr", (True, True, True)), ("pyroomacoustics", (False, True, True))):
        before = [dataset.code_digest(kind) for kind in kinds]
        with monkeypatch.context() as patch:
            patch.setattr(
                packages, "version", lambda name, own=package: "99" if name == own else version(name)
            )
            after = [dataset.code_digest(kind) for kind in kinds]
        assert tuple(map(operator.ne, before, after)) == decides


def test_the_code_that_is_looked_at_is_there() -> None:
    package = Path(sys.modules["realtime"].__file__ or "").parent
    assert all(list(package.glob(pattern)) for pattern in dataset._CODE)
    folder = Path(sys.modules["training.augmentation"].__file__ or "").parent
    assert all((folder / name).is_file() for name in dataset._DEGRADING_CODE)


@pytest.mark.parametrize("large_bytes", [dataset._LARGE_BYTES, 0])
def test_what_is_damaged_on_disk_is_computed_again(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large_bytes: int
) -> None:
    monkeypatch.setattr(dataset, "_LARGE_BYTES", large_bytes)
    first = extract(recipe, clips, tmp_path)
    for n, path in enumerate(kept(tmp_path)):
        os.truncate(path, n * 40)
    assert same(first, extract(recipe, clips, tmp_path))
    paths = kept(tmp_path)
    paths[0].write_bytes(b"no array at all")
    np.save(paths[1], np.zeros(3))
    np.save(paths[2], np.array([{}]), allow_pickle=True)
    assert same(first, extract(recipe, clips, tmp_path))
    assert same(first, extract(recipe, clips, tmp_path))


def test_several_processes_give_the_same(recipe: Recipe, corpus: Corpus, tmp_path: Path) -> None:
    clips = list(corpus.clips[:20])
    for variation in (AsItIs(), copies(1)):
        alone = extract(recipe, clips, tmp_path / "1", variation)
        assert same(alone, extract(recipe, clips, tmp_path / "2", variation, n_jobs=2))


def test_copies_do_not_depend_on_the_other_clips(recipe: Recipe, clips: list[Clip], tmp_path: Path) -> None:
    together = extract(recipe, clips, tmp_path / "1", copies())
    alone = extract(recipe, clips[3:4], tmp_path / "2", copies())
    assert np.array_equal(together.features[together.clip == 3], alone.features)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_unreadable_clips_are_named(recipe: Recipe, clips: list[Clip], tmp_path: Path, n_jobs: int) -> None:
    damaged = tmp_path / "damaged.flac"
    damaged.write_bytes(clips[1].path.read_bytes()[:3000])
    text = tmp_path / "text.flac"
    text.write_text("no audio")
    for path in (damaged, text, tmp_path / "gone.flac"):
        some = [*clips * 3, replace(clips[1], path=path)]
        with pytest.raises(CorpusError, match=path.name):
            extract(recipe, some, tmp_path / "cache", n_jobs=n_jobs)


def test_a_cache_that_cannot_be_written_is_an_error(
    recipe: Recipe, clips: list[Clip], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=r"Not a directory; .*--cache|File exists; .*--cache"):
        extract(recipe, clips, tmp_path / "file")


def test_a_full_disk_is_told_and_leaves_nothing_half_done(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(CorpusError, match=r"No space left on device; .*--cache"):
        extract(recipe, clips, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs limits for files' sizes")
def test_a_file_that_the_system_cuts_short_is_told(clips: list[Clip], tmp_path: Path) -> None:
    script = f"""
import resource, signal
from pathlib import Path
import numpy as np
from realtime.features import FeatureSpec
from training import dataset
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
features = FeatureSpec.from_dict({{"families": [{{"kind": "rms", "pool": ["mean"]}}]}})
plan = dataset._Plan(features, 16000, 8000, dataset.AsItIs())
print(dataset._extract_one(Path({str(clips[0].path)!r}), plan, Path({str(tmp_path)!r}, "{"0" * 64}.npy")))
"""
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "wanted to keep features there: free some space" in found.stdout
    assert "None" not in found.stdout
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    samples = np.zeros(2000, dtype=np.float32)
    samples[1000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(SourceError, match="not finite"):
        dataset.read_clip(tmp_path / "nan.wav", 16_000)


def test_rows_hold_voices_and_copies_where_asked(study: Study) -> None:
    windows = study.examples.windows
    clips = np.array([0, 2])
    bare, all_ = windows.rows(clips, copies=False), windows.rows(clips, copies=True)
    assert set(windows.clip[all_]) == {0, 2}
    assert not windows.copy[bare].any()
    assert windows.copy[all_].any()
    assert windows.voiced[all_].all()
    assert len(all_) > len(bare) > 0


def test_silence_is_in_no_part(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "03-01-01-01-01-01-01.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    clip = corpora.parse_ravdess(path)
    assert clip is not None
    windows = extract(recipe, [clip], tmp_path / "cache")
    assert len(windows.clip)
    assert not len(windows.rows(np.array([0]), copies=True))


def first_of(windows: Windows) -> float:
    return float(windows.features[0].flat[0])


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_many_features_lie_in_a_file_that_goes_with_them(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = extract(recipe, clips, tmp_path / "cache")
    assert dataset.on_disk(windows, tmp_path) is windows
    monkeypatch.setattr(dataset, "_MANY_BYTES", 0)
    stale, fresh = tmp_path / "in-use-1-00.npy", tmp_path / "in-use-2-00.npy"
    for path in (stale, fresh):
        path.touch()
    os.utime(stale, (0, 0))
    shared = dataset.on_disk(windows, tmp_path)
    assert np.array_equal(shared.features, windows.features)
    assert not shared.features.flags.writeable
    assert not stale.exists()
    (path,) = set(tmp_path.glob("in-use-*.npy")) - {fresh}
    # Other processes are told where it is, not what is in it.
    found = list(Workers(2).map(first_of, [shared, replace(shared, voiced=~shared.voiced)]))
    assert found == [first_of(windows)] * 2
    assert path.exists()
    del shared
    gc.collect()
    assert not path.exists()
    # Nothing is left by who interrupts it meanwhile.
    with monkeypatch.context() as patch:
        patch.setattr(np, "ascontiguousarray", interrupt)
        with pytest.raises(KeyboardInterrupt):
            dataset.on_disk(windows, tmp_path)
    assert set(tmp_path.glob("in-use-*.npy")) == {fresh}
    assert dataset.on_disk(windows, tmp_path / "missing") is windows


def test_what_a_process_left_behind_that_was_killed_goes_at_once(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    windows = extract(recipe, clips, tmp_path / "cache")
    monkeypatch.setattr(dataset, "_MANY_BYTES", 0)
    left = tmp_path / "in-use-1-00.npy"
    left.write_bytes(b"something")
    used = dataset.on_disk(windows, tmp_path)
    (path,) = set(tmp_path.glob("in-use-*.npy")) - {left}
    an_hour_ago = time.time() - 3600
    for each in (left, path):
        os.utime(each, (an_hour_ago, an_hour_ago))
    dataset.on_disk(windows, tmp_path)
    assert not left.exists()
    assert path.exists()
    assert np.array_equal(used.features, windows.features)


def test_many_windows_of_copies_lie_on_disk_too(
    recipe: Recipe, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = extract(recipe, clips, tmp_path / "cache"), extract(recipe, clips, tmp_path / "cache", copies())
    expected = dataset.with_copies(*both, tmp_path)
    assert not list(tmp_path.glob("in-use-*.npy"))
    monkeypatch.setattr(dataset, "_MANY_BYTES", 0)
    monkeypatch.setattr(dataset, "_ROWS_AT_ONCE", 7)
    found = dataset.with_copies(*both, tmp_path)
    assert len(list(tmp_path.glob("in-use-*.npy"))) == 1
    without_room = dataset.with_copies(*both, tmp_path / "missing")
    assert same(found, expected)
    assert same(without_room, expected)
