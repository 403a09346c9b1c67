from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from realtime.errors import SettingsError
from training.commands import options
from training.corpora import LAYOUTS
from training.workers import Workers


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_data(parser)
    options.add_cache(parser)
    options.add_jobs(parser)
    return parser.parse_args(arguments)


def test_nothing_said_is_ravdess() -> None:
    assert parse().data == ["ravdess"]


def test_what_is_said_replaces_it() -> None:
    parser = argparse.ArgumentParser()
    options.add_data(parser)
    assert parser.parse_args(["--data", "tess"]).data == ["tess"]
    given = parser.parse_args(["--data", "ravdess", "--data", "nemo=x", "--data", "tess"])
    assert given.data == ["ravdess", "nemo=x", "tess"]
    # The default stays as it is for those who parse again.
    assert parser.parse_args([]).data == ["ravdess"]


def test_corpora_may_stand_without_a_flag() -> None:
    parser = argparse.ArgumentParser()
    options.add_data_arguments(parser)
    assert parser.parse_args([]).data == ["ravdess"]
    assert parser.parse_args(["a", "b"]).data == ["a", "b"]


def test_the_help_names_every_corpus(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        parse("--help")
    assert ", ".join(LAYOUTS) in capsys.readouterr().out


def test_labels_are_mapped() -> None:
    assert options.label_map(parse()) == {}
    arguments = parse("--map", "boredom=calm", "--map", " joy = happy ", "--map", "joy=happy")
    assert options.label_map(arguments) == {"boredom": "calm", "joy": "happy"}


@pytest.mark.parametrize("pair", ["boredom", "boredom=", "=calm", "boredom=bored", ""])
def test_pairs_that_are_none_are_refused(pair: str) -> None:
    with pytest.raises(SettingsError, match=f"--map is '{pair}'; wanted LABEL=OURS, with one of neutral"):
        options.label_map(parse("--map", pair))


def test_a_label_means_one_thing() -> None:
    with pytest.raises(SettingsError, match="--map maps 'joy' to 'happy' and to 'calm'"):
        options.label_map(parse("--map", "joy=happy", "--map", "joy=calm"))
    with pytest.raises(SettingsError, match="--map maps 'joy' to 'happy' and to 'calm'"):
        options.label_map(parse("--map", "joy=happy", "--map", "Joy=calm"))


def test_the_cache_is_the_user_s_by_default() -> None:
    assert options.cache_folder(parse()) == user_cache_path("tonewatch")
    assert options.cache_folder(parse("--cache", "x")) == Path("x")


def test_work_is_shared_out() -> None:
    assert options.workers(parse()) == Workers(os.cpu_count() or 1, None)
    arguments = parse("--jobs", "3", "--cluster", "tcp://host:8786")
    assert options.workers(arguments) == Workers(3, "tcp://host:8786")


@pytest.mark.parametrize("n_jobs", ["0", "-1"])
def test_less_than_one_job_is_refused(n_jobs: str) -> None:
    with pytest.raises(SettingsError, match=f"--jobs is {n_jobs}; wanted a whole number from 1 up"):
        options.workers(parse("--jobs", n_jobs))


def test_a_cluster_has_an_address() -> None:
    with pytest.raises(SettingsError, match="--cluster is 'host'; wanted an address such as tcp://host:8786"):
        options.workers(parse("--cluster", "host"))
