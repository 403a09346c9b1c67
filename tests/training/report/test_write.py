from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from realtime.artifact import CARD_FILE, read
from realtime.card import Export
from realtime.errors import ArtifactError
from training.commands import report as command
from training.report import Setting, load_data, save_data, write_report
from training.report.history import History

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from realtime.artifact import Card
    from training.report import ReportData, ReportFiles


class Page(HTMLParser):
    """What a page is made of; every element is closed in its order."""

    VOID = frozenset({"meta", "img", "source", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def files(made_up: ReportData, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return write_report(made_up, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(files: ReportFiles) -> Page:
    return Page(files.page.read_text(encoding="utf-8"))


def test_nothing_comes_from_outside_and_nothing_runs(files: ReportFiles, page: Page) -> None:
    assert not page.all("script")
    assert not page.all("link")
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "srcset", "href", "action", "data", "poster"}
    ]
    assert addresses
    assert all(address and address.startswith(("data:image/", "#")) for address in addresses)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    text = files.page.read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert "default-src 'none'" in policy


def test_pictures_within_are_those_beside(files: ReportFiles, page: Page) -> None:
    uris = [i["src"] for i in page.all("img")] + [s["srcset"] for s in page.all("source")]
    within = {base64.b64decode(uri.split(",", 1)[1]) for uri in uris if uri}
    assert within == {path.read_bytes() for path in files.pictures}
    assert {path.suffix for path in files.pictures} == {".svg", ".png"}
    # A PNG has one for each colour scheme.
    assert {path.name for path in files.pictures} >= {"embedding-map.png", "embedding-map-dark.png"}
    assert all(s["media"] == "(prefers-color-scheme: dark)" for s in page.all("source"))


def test_every_picture_is_described_and_keeps_its_place(page: Page) -> None:
    for image in page.all("img"):
        alt, width, height = image["alt"], image["width"], image["height"]
        assert alt
        assert len(alt) > 30
        assert width == "499"
        assert height
        assert int(height) > 100


def test_the_contents_lead_everywhere(page: Page) -> None:
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    targets = {a["href"] for a in page.all("a")}
    assert all(target and target[1:] in identifiers for target in targets)
    headings = [
        attributes["id"] for tag, attributes in page.elements if tag in {"h2", "h3"} and "id" in attributes
    ]
    alone = {"contents", "training", "embedding-map"}  # these sections hold one picture
    assert {f"#{name}" for name in headings if name not in alone} == targets


def test_headings_descend_one_by_one(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_it_fits_phones_and_both_colour_schemes(files: ReportFiles, page: Page) -> None:
    metas = {m.get("name"): m.get("content") for m in page.all("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    text = files.page.read_text(encoding="utf-8")
    for rule in ("prefers-color-scheme: dark", "max-width: 30rem", "@media print"):
        assert rule in text


def test_what_people_wrote_is_text(page: Page, made_up: ReportData) -> None:
    assert made_up.description in page.text
    assert "<in" in made_up.description


def test_scores_come_with_intervals_and_deviations(page: Page, files: ReportFiles) -> None:
    assert "58.8% ± 1.2%(55.1% to 62.3%)" in page.text
    summary = files.summary.read_text(encoding="utf-8")
    assert "58.8% ± 1.2% (55.1% to 62.3%)" in summary
    assert "by a bootstrap over speakers" in summary
    assert "standard deviation over 3 trainings" in summary


def test_the_summary_says_it_all(files: ReportFiles, made_up: ReportData) -> None:
    text = files.summary.read_text(encoding="utf-8")
    lines = text.splitlines()
    for title in ("Model", "Scores", "Classes", "What the pictures show", "To keep in mind"):
        assert title in lines
    for label in made_up.labels:
        assert re.search(rf"^{label} +\d+ +\d+\.\d% \(", text, flags=re.MULTILINE), label
    flat = " ".join(text.split())
    assert "4 speakers are few" in flat
    assert "“random” and “kfold” test on other recordings" in flat
    assert "A note on the scores." in flat
    assert max(map(len, lines)) <= 110


def test_one_corpus_is_a_caveat(small: ReportData, tmp_path: Path) -> None:
    clips = replace(small.clips, corpus=("RAVDESS",) * len(small.clips.corpus))
    files = write_report(replace(small, clips=clips, embedding=None), tmp_path)
    assert "All recordings are of one corpus, RAVDESS" in " ".join(files.summary.read_text().split())


def test_it_says_when_the_inner_part_was_trained_on_in_the_end(small: ReportData, tmp_path: Path) -> None:
    said = []
    for value in (False, True):
        data = replace(small, settings=(Setting("fitting.refit", value),))
        said.append(" ".join(write_report(data, tmp_path).summary.read_text().split()))
    for sentence in ("was trained again on all speakers", "here its speakers are not new to it either"):
        assert [sentence in text for text in said] == [False, True]


def test_it_says_when_the_inner_part_has_voices_that_were_trained_on(
    small: ReportData, tmp_path: Path
) -> None:
    assert small.embedding is not None
    some = np.arange(len(small.clips.speaker)) % 10 == 0
    apart = np.arange(len(small.embedding.label)) % 10 == 0
    known = replace(
        small,
        clips=replace(small.clips, held_out=some),
        embedding=replace(small.embedding, held_out=apart),
        settings=(Setting("fitting.refit", value=True),),
    )
    text, of_known = (
        " ".join(write_report(data, tmp_path).summary.read_text().split()) for data in (small, known)
    )
    warning = "a new voice is recognised worse than these pictures say"
    assert warning in of_known
    assert warning not in text
    assert f"The inner part is {some.sum()} recordings of " in of_known
    for claim in ("speakers of the inner part", "trained again on all speakers", "new voices alone"):
        assert claim not in of_known
    page = " ".join(write_report(known, tmp_path).page.read_text().split())
    for claim in (
        "speakers are kept from training",
        "speakers it does not train on",
        "speaker of the inner part",
    ):
        assert claim not in page


def test_the_history_is_data(files: ReportFiles, made_up: ReportData) -> None:
    history = msgspec.json.decode(files.history.read_bytes(), type=History)
    assert [epoch.number for epoch in history.epochs] == [epoch.number for epoch in made_up.history]
    assert [epoch.inner_loss for epoch in history.epochs] == [epoch.inner_loss for epoch in made_up.history]
    assert history.best_epoch == max(made_up.history, key=lambda epoch: epoch.inner_accuracy).number
    assert history.settings["fitting.learning_rate"] == 0.001
    assert history.seed == 42
    assert history.n_networks == 1


def test_the_epochs_of_an_ensemble_are_said_to_be_its_firsts(small: ReportData, tmp_path: Path) -> None:
    members = tuple(Setting(f"model.members.{number}.kind", "conv") for number in (1, 2, 3))
    two = replace(small, settings=(Setting("model.kind", "ensemble"), *members), embedding=None)
    files = write_report(two, tmp_path)
    assert json.loads(files.history.read_bytes())["n_networks"] == 3
    page = files.page.read_text()
    assert "epochs of the first of 3 networks, number" in page
    assert "Epochs of the first of 3 networks." in page


def test_what_json_cannot_say_is_null(small: ReportData, tmp_path: Path) -> None:
    first = replace(small.history[0], inner_loss=float("inf"), loss=float("nan"))
    files = write_report(replace(small, history=(first, *small.history[1:]), embedding=None), tmp_path)

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    plain = json.loads(files.history.read_text(), parse_constant=refuse)
    assert (plain["epochs"][0]["loss"], plain["epochs"][0]["inner_loss"]) == (None, None)


def test_the_same_data_give_the_same_files(made_up: ReportData, files: ReportFiles, tmp_path: Path) -> None:
    save_data(made_up, tmp_path)
    again = write_report(load_data(tmp_path), tmp_path / "again")
    for one, other in zip(
        (files.page, files.history, files.summary, *files.pictures),
        (again.page, again.history, again.summary, *again.pictures),
        strict=True,
    ):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes(), one.name


def test_an_estimator_has_no_epochs(small: ReportData, tmp_path: Path) -> None:
    bare = replace(
        small,
        history=(),
        judged=replace(small.judged, intervals=None),
        features=replace(small.features, importances=None),
        embedding=None,
    )
    write_report(small, tmp_path)
    files = write_report(bare, tmp_path)
    names = sorted(path.name for path in files.pictures)
    assert names == [
        "class-distribution.svg",
        "classes.svg",
        "confusion.svg",
        "histograms.svg",
        "reliability.svg",
        "speaker-distribution.svg",
    ]
    # What the report before had more is gone.
    assert sorted(path.name for path in files.pictures[0].parent.iterdir()) == names
    page = Page(files.page.read_text(encoding="utf-8"))
    assert "there are no epochs to show" in page.text
    assert "How important each feature is was not measured" in page.text
    assert json.loads(files.history.read_text())["best_epoch"] is None


def test_exports_are_told_where_they_were_measured(small: ReportData, tmp_path: Path) -> None:
    card = msgspec.structs.replace(
        small.card, exports={"int8": Export(n_bytes=123_456, parity=0.08, accuracy=0.571)}
    )
    files = write_report(replace(small, card=card, embedding=None), tmp_path)
    assert re.search(r"int8 +123 kB +0\.08 +57\.1% +-", files.summary.read_text())
    assert "123 kB" in files.page.read_text()


class TestCommand:
    @pytest.fixture
    def parser(self) -> argparse.ArgumentParser:
        import argparse

        parser = argparse.ArgumentParser()
        command.add(parser.add_subparsers())
        return parser

    @pytest.fixture
    def model(self, tiny_model: Path, tmp_path: Path) -> Path:
        import shutil

        return shutil.copytree(tiny_model, tmp_path / "model")

    def of_model(self, data: ReportData, card: Card) -> ReportData:
        return replace(data, card=card, labels=tuple(card.labels), embedding=None)

    def test_makes_a_report_again(
        self,
        parser: argparse.ArgumentParser,
        model: Path,
        made_up: ReportData,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        save_data(self.of_model(made_up, read(model).card), model / "report")
        pages = []
        for flags, folder in (((), model / "report"), (("--out", str(tmp_path / "out")), tmp_path / "out")):
            arguments = parser.parse_args(["report", str(model), *flags])
            arguments.run(arguments)
            assert str(folder / "report.html") in capsys.readouterr().out.splitlines()
            pages.append((folder / "report.html").read_bytes())
        assert pages[0] == pages[1]

    def test_refuses_a_model_without_data(self, parser: argparse.ArgumentParser, model: Path) -> None:
        arguments = parser.parse_args(["report", str(model)])
        with pytest.raises(ArtifactError, match=r"report-data\.json"):
            arguments.run(arguments)

    def test_refuses_data_of_another_training(
        self, parser: argparse.ArgumentParser, model: Path, made_up: ReportData
    ) -> None:
        card = msgspec.structs.replace(read(model).card, sha256={"model.tflite": "0"})
        save_data(self.of_model(made_up, card), model / "report")
        arguments = parser.parse_args(["report", str(model)])
        with pytest.raises(ArtifactError, match=f"another training of .*{CARD_FILE}"):
            arguments.run(arguments)

    def test_help_is_quick(self) -> None:
        import subprocess
        import sys

        code = (
            "import argparse, sys; from training.commands import report;"
            "report.add(argparse.ArgumentParser().add_subparsers());"
            "heavy = {'matplotlib', 'sklearn', 'tensorflow', 'training.report'};"
            "print(sorted(heavy & set(sys.modules)))"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"
