from __future__ import annotations

import argparse
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime.errors import SettingsError, TrainingError
from training.commands import search as command
from training.fit import fit
from training.recipes import digest, parse_recipe, read_recipe
from training.recipes.schema import Forest
from training.search import (
    Bench,
    Between,
    Choices,
    Dimension,
    Found,
    Job,
    Journal,
    Source,
    Space,
    plan_folds,
    read_source,
    search,
    try_recipe,
    write_found,
)
from training.search.recipe import override, plain_of
from training.search.trial import Outcome
from training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.training.conftest import Gather, Notes
    from training.corpora import Corpus
    from training.search.space import Value
    from training.study import Study

FOREST = """\
# Trees.
description = "for tests"
labels = ["neutral", "calm", "happy"]
window_s = 1.0
hop_s = 0.5

[reported]
accuracy = 0.5

[features]
families = [
    { kind = "mfcc", n = 8, n_mels = 24, pool = ["mean", "std"] },
    { kind = "rms", pool = ["mean", "std"] }, # loudness
]

[model]
kind = "random-forest"
n_trees = 6
max_depth = 6
"""
SPACE = Space(
    (
        Dimension("model.max_depth", Between(low=1, high=6)),
        Dimension("model.min_leaf", Between(low=1, high=8)),
        Dimension("balance", Choices(choices=("none", "oversample"))),
    )
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("recipe") / "trees.toml"
    path.write_text(FOREST)
    return read_source(str(path))


@pytest.fixture(scope="module")
def trees(source: Source, corpus: Corpus, cache: Path, gather_study: Gather) -> Study:
    return gather_study(source.recipe, corpus, cache)


@pytest.fixture
def bench(trees: Study, tmp_path: Path) -> Bench:
    folds = plan_folds(trees.clips, trees.corpus.folds, 2)
    return Bench(trees, folds, seed=1, unit="clips", kept=tmp_path / "kept")


@pytest.fixture
def run(bench: Bench, source: Source, tmp_path: Path, watcher: Notes) -> Callable[..., Found]:
    def run(
        n_trials: int,
        *,
        space: Space = SPACE,
        journal: str = "journal",
        watcher: Notes = watcher,
        timeout_s: float | None = None,
        workers: Workers = Workers(),  # noqa: B008 - frozen
        bench: Bench = bench,
    ) -> Found:
        return search(
            bench,
            source,
            Journal(tmp_path / journal, space, seed=1, n_folds=len(bench.folds)),
            n_trials=n_trials,
            timeout_s=timeout_s,
            workers=workers,
            watcher=watcher,
        )

    return run


def without_scores(bench: Bench, name: str) -> Bench:
    """Return a bench that remembers nothing."""
    return replace(bench, kept=bench.kept.with_name(name))


def test_the_best_trial_comes_first(run: Callable[..., Found], watcher: Notes) -> None:
    found = run(6)
    assert [tried.number for tried in found.tried] == list(range(6))
    assert [tried.score for tried in found.ranked] == sorted((t.score for t in found.ranked), reverse=True)
    assert all(len(tried.scores) == 2 for tried in found.ranked)
    assert len(found.own) == 2
    assert watcher.n_done == {"trials": 6}
    assert watcher.notes[-1].startswith(
        f"best {found.ranked[0].score:.1%} (trial {found.ranked[0].number}), as"
    )
    # It is a search: values differ, and so do scores.
    assert len({tuple(tried.values.values()) for tried in found.tried}) > 3
    assert len({tried.score for tried in found.ranked}) > 1


def test_it_goes_on_as_if_nothing_had_been(run: Callable[..., Found], bench: Bench, watcher: Notes) -> None:
    whole = run(5)
    again = {"journal": "again", "bench": without_scores(bench, "kept-again")}
    with pytest.raises(KeyboardInterrupt):
        run(5, watcher=type(watcher)(interrupt_at="trials"), **again)
    first = run(2, **again)
    assert len(first.tried) == 2
    assert run(5, **again) == whole
    # All is done: nothing is trained, nothing tried.
    assert run(3, journal="again", bench=replace(bench, folds=())) == whole


def test_what_was_begun_is_ended(run: Callable[..., Found], tmp_path: Path) -> None:
    whole = run(3)
    journal = Journal(tmp_path / "again", SPACE, seed=1, n_folds=2)
    # Chosen, and then the process was killed.
    begun = [journal.ask(), journal.ask()]
    found = run(3, journal="again")
    assert [(tried.number, tried.values) for tried in found.tried[:2]] == begun
    assert found.tried[0] == whole.tried[0]
    assert [tried.state for tried in found.tried] == ["whole"] * 3


def test_processes_share_the_trials(run: Callable[..., Found]) -> None:
    found = run(5, workers=Workers(2))
    assert len(found.tried) == 5
    assert found.own == run(5, journal="alone").own


def test_no_trial_begins_after_its_time(run: Callable[..., Found]) -> None:
    with pytest.raises(TrainingError, match="none of 0 trials was judged on all 2 folds"):
        run(5, timeout_s=1e-9)
    found = run(2)
    assert run(5, timeout_s=1e-9) == found


def test_a_hopeless_trial_is_given_up(bench: Bench, source: Source) -> None:
    whole = try_recipe(Job(bench, 0, source.plain))
    assert len(whole.scores) == 2
    assert not whole.problem
    given_up = try_recipe(Job(bench, 0, source.plain, bars=(1.1,)))
    assert given_up == Outcome(0, whole.scores[:1])


def test_bars_are_medians(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", SPACE, seed=1, n_folds=3)
    scores = [(0.1, 0.3, 0.5), (0.2, 0.2, 0.2), (0.3,), (0.4, 0.6, 0.8), (0.5, 0.5, 0.2)]
    for own in scores:
        assert journal.bars() == ()
        number, _ = journal.ask()
        journal.tell(Outcome(number, own))
    # Four trials have come so far as to the second fold: too few.
    assert journal.bars() == (0.3,)
    number, _ = journal.ask()
    journal.tell(Outcome(number, (0.0, 1.0, 1.0)))
    assert journal.bars() == pytest.approx((0.25, 0.5))
    assert [tried.state for tried in journal.tried].count("given up") == 1
    number, _ = journal.ask()
    journal.tell(Outcome(number, (0.9,), "the loss is nan"))
    assert journal.bars() == pytest.approx((0.25, 0.5))


def test_a_failed_trial_is_named_and_the_search_goes_on(run: Callable[..., Found], watcher: Notes) -> None:
    # Windows shorter than a frame.
    space = Space((Dimension("window_s", Choices(choices=(1.0, 0.01))), *SPACE.dimensions))
    found = run(6, space=space)
    failed = [tried for tried in found.tried if tried.state == "failed"]
    assert 0 < len(failed) < 6
    assert len(watcher.warnings) == len(failed)
    assert watcher.warnings[0].startswith(f"trial {failed[0].number} failed: window_s is 0.01 s; wanted")
    assert "window_s = 0.01, model.max_depth = " in watcher.warnings[0]
    assert len(found.tried) == 6


def test_a_space_without_hope_is_told(run: Callable[..., Found]) -> None:
    space = Space((Dimension("hop_s", Choices(choices=(0.001, 0.002))),))
    with pytest.raises(
        TrainingError, match=r"all of the first 10 trials failed, the last one since hop_s is"
    ):
        run(50, space=space)


def test_a_loss_that_is_no_number_fails_the_trial(study: Study, tmp_path: Path, corpus: Corpus) -> None:
    folds = plan_folds(study.clips, corpus.folds, 1)
    plain = plain_of(study.recipe)
    plain["fitting"]["learning_rate"] = 1e38
    outcome = try_recipe(Job(Bench(study, folds, 1, "clips", tmp_path), 7, plain))
    assert outcome.number == 7
    assert "the loss is" in outcome.problem
    plain["fitting"]["learning_rate"] = 0.01
    outcome = try_recipe(Job(Bench(study, folds, 1, "windows", tmp_path), 7, plain))
    assert outcome.problem == ""
    assert 0 < outcome.scores[0] <= 1


def test_test_clips_are_not_looked_at(bench: Bench, source: Source) -> None:
    """Nothing changes where they hold what no computation survives, under labels that are not theirs."""
    study = bench.study
    (fold, _) = bench.folds
    seen = np.concatenate((fold.split.train, fold.split.inner, fold.judged))
    hidden = np.setdiff1d(np.arange(len(study.clips)), seen)
    assert len(hidden) == len(study.clips) // 3
    windows = study.examples.windows
    features = windows.features.copy()
    features[np.isin(windows.clip, hidden)] = np.nan
    labels = study.examples.labels.copy()
    labels[hidden] = 0
    poisoned = replace(
        study,
        examples=replace(study.examples, windows=replace(windows, features=features), labels=labels),
        truth=replace(study.truth, labels=labels),
    )
    one = replace(bench, folds=(fold,))
    two = replace(without_scores(one, "poisoned"), study=poisoned)
    scores = try_recipe(Job(one, 0, source.plain)).scores
    assert scores == try_recipe(Job(two, 0, source.plain)).scores
    # The others are looked at, all of them.
    for part in (fold.split.train, fold.judged):
        features = windows.features.copy()
        features[np.isin(windows.clip, part)] = 0
        blank = replace(study, examples=replace(study.examples, windows=replace(windows, features=features)))
        three = replace(without_scores(one, f"blank-{part[0]}"), study=blank)
        assert scores != try_recipe(Job(three, 0, source.plain)).scores


def test_trials_leave_no_unfinished_training(
    bench: Bench, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeping(*arguments: Any, kept: Path, **settings: Any) -> Any:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch()
        kept.with_suffix(".again.npz").touch()
        return fit(*arguments, kept=kept, **settings)

    monkeypatch.setattr("training.search.trial.fit", keeping)
    assert len(try_recipe(Job(bench, 0, source.plain)).scores) == 2
    assert {path.suffix for path in bench.kept.iterdir()} == {".json"}


def test_scores_are_kept_by_all_that_decides(bench: Bench, source: Source) -> None:
    scores = try_recipe(Job(bench, 0, source.plain)).scores
    (first, second) = sorted(bench.kept.glob("*.json"))
    first.write_text("0.125")
    assert 0.125 in try_recipe(Job(bench, 0, source.plain)).scores
    first.write_text("{")
    assert try_recipe(Job(bench, 0, source.plain)).scores == scores
    for other in (replace(bench, seed=2), replace(bench, unit="windows")):
        try_recipe(Job(other, 0, source.plain))
    assert len(list(bench.kept.glob("*.json"))) == 6
    assert second.exists()


def test_trials_may_want_other_features(bench: Bench, source: Source) -> None:
    plain = tomllib.loads(FOREST)
    override(plain, source.recipe, "features.families.0.n", 4)
    outcome = try_recipe(Job(bench, 0, plain))
    assert not outcome.problem
    assert outcome.scores != try_recipe(Job(bench, 0, source.plain)).scores


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    Journal(tmp_path / "journal", SPACE, seed=1, n_folds=2)
    whole = (tmp_path / "journal").read_bytes()
    # The line that was being written as the power went.
    (tmp_path / "journal").write_bytes(whole + b'{"op_code": 4, "wor')
    assert Journal(tmp_path / "journal", SPACE, seed=1, n_folds=2).tried == ()
    (tmp_path / "journal").write_bytes(b"nonsense\n" + whole)
    with pytest.raises(TrainingError, match="journal: damaged; wanted the journal of a search: remove it"):
        Journal(tmp_path / "journal", SPACE, seed=1, n_folds=2)


def test_the_recipe_found_is_one(source: Source, tmp_path: Path) -> None:
    values: dict[str, Value] = {
        "model.max_depth": 3,
        "model.min_leaf": 2,
        "balance": "oversample",
        "fitting.refit": True,
    }
    path = tmp_path / "best.toml"
    write_found(path, source, values, ["Found.", "", "Somehow."])
    text = path.read_text()
    assert text.startswith("# Found.\n#\n# Somehow.\n\n# Trees.\n")
    assert "# loudness" in text
    recipe = read_recipe(path)
    plain = dict(tomllib.loads(FOREST))
    for key, value in values.items():
        override(plain, source.recipe, key, value)
    assert digest(recipe) == digest(parse_recipe("best", plain)) != digest(source.recipe)
    assert isinstance(recipe.model, Forest)
    assert recipe.model.max_depth == 3
    # What its authors say of theirs is not said of this one.
    assert recipe.reported is None


def test_what_is_found_of_a_recipe_that_is_like_another(tmp_path: Path) -> None:
    (tmp_path / "forest.toml").write_text(FOREST, encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text('like = "forest.toml"\n# Wider.\nhop_s = 0.25\n', encoding="utf-8")
    source = read_source(str(own))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_found(folder / "best.toml", source, {"model.max_depth": 3, "features.families.0.n": 5}, ["Found."])
    recipe = read_recipe(folder / "best.toml")
    plain = dict(tomllib.loads(FOREST))
    del plain["reported"]
    override(plain, source.recipe, "model.max_depth", 3)
    override(plain, source.recipe, "features.families.0.n", 5)
    assert digest(recipe) == digest(parse_recipe("best", plain | {"hop_s": 0.25}))
    assert "# Wider." in (folder / "best.toml").read_text()


def call(*words: str) -> None:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    arguments = parser.parse_args(["search", *words])
    arguments.run(arguments)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_the_best(
    source: Source,
    corpus_folder: Path,
    cache: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "space.toml").write_text('["model.max_depth"]\nlow = 1\nhigh = 6\n')
    words = [str(source.path), "--space", "space.toml", "--data", str(corpus_folder), "--cache", str(cache)]
    words += ["--jobs", "1", "--folds", "2"]
    call(*words, "--trials", "2")
    first = capsys.readouterr()
    assert "trials: 2 done" in first.err
    call(*words, "--trials", "4", "--out", "here.toml")
    second = capsys.readouterr()
    # Two of before, two more.
    assert "trials: 2 done" in second.err
    rows = second.out.splitlines()
    assert rows[0].split() == ["trial", "UAR", "sd", "values"]
    assert len(rows) == 1 + 4 + 1 + 1
    best = int(rows[1].split("model.max_depth = ")[1])
    assert rows[-2].split()[:3] == ["as", "it", "is"]
    assert rows[-1].startswith("here.toml: the recipe with the values of trial ")
    found = read_recipe(here / "here.toml")
    assert isinstance(source.recipe.model, Forest)
    assert found.model == msgspec.structs.replace(source.recipe.model, max_depth=best)
    text = (here / "here.toml").read_text()
    assert "found by a search of 4 trials" in text
    assert "#   model.max_depth: 1 to 6\n" in text
    assert f"#   tonewatch-train search {source.path} --trials 4 --folds 2" in text
    assert read_recipe(here / "trees-best.toml").name == "trees-best"


def test_the_command_shows_the_space(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    call(str(source.path), "--show-space")
    assert "model.n_trees" in tomllib.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--trials", "0"), "--trials is 0; wanted a whole number from 1 up"),
        (("--folds", "0"), "--folds is 0"),
        (("--timeout-s", "0"), "--timeout-s is 0; wanted seconds above 0"),
        (("--seed", "-1"), "--seed is -1"),
        (("--out", "best.txt"), "wanted a file that ends in .toml"),
        (("--out", "missing/best.toml"), "wanted a file in a folder that is there"),
        (("--space", "missing.toml"), "wanted the TOML file of a space"),
    ],
)
def test_flags_that_make_no_sense_are_refused(source: Source, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        call(str(source.path), *words)
    assert message in str(caught.value)


def test_the_recipe_itself_is_not_overwritten(source: Source) -> None:
    with pytest.raises(SettingsError, match="the recipe's own file; wanted another"):
        call(str(source.path), "--out", str(source.path))
