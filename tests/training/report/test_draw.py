from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from training.report import draw, embedding, recordings
from training.report.style import DARK, LIGHT, Chart, new_figure
from training.report.write import charts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.report import ReportData
    from training.report.style import Theme


def chart_of(n_points: int) -> Chart:
    def plot(theme: Theme) -> Figure:
        figure = new_figure(3.0)
        x, y = np.random.default_rng(0).random((2, n_points))
        axes = figure.subplots()
        axes.scatter(x, y, color=theme.ink, s=3)
        axes.set_title("Points")
        axes.grid()
        return figure

    return Chart("points", "Points", "alt", "reading", "finding", plot)


def test_small_pictures_are_svg_that_know_both_themes() -> None:
    picture = draw.render(chart_of(5))
    assert (picture.form, picture.dark) == ("svg", b"")
    assert (picture.width, picture.height) == (499, 288)
    text = picture.light.decode()
    ET.fromstring(text)
    rules = re.search(r"@media \(prefers-color-scheme: dark\) \{(.*)\}</style>", text)
    assert rules
    # Whatever is drawn in a theme's colour is found by a rule, as matplotlib writes it.
    for light, dark in ((LIGHT.ink, DARK.ink), (LIGHT.grid, DARK.grid), (LIGHT.muted, DARK.muted)):
        used = {kind for kind in ("fill", "stroke") if re.search(rf'style="[^"]*{kind}: {light}', text)}
        assert used, f"{light} is not used"
        for kind in used:
            assert f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}' in rules[1]


def test_colours_of_data_are_no_themes_colours(made_up: ReportData) -> None:
    from realtime.sinks.palette import EMOTIONS
    from training.report.style import CELL, INNER, TRAINING

    data = {look.colour for look in EMOTIONS.values()} | {CELL, INNER, TRAINING, "#ffffff", "#000000"}
    themes = {LIGHT.ink, LIGHT.muted, LIGHT.grid, LIGHT.paper}
    assert not data & themes
    assert len(made_up.labels) == 8


def test_no_text_stays_black_on_dark(made_up: ReportData) -> None:
    for chart in charts(replace(made_up, embedding=None)):
        text = draw.render(chart).light.decode()
        # Matplotlib leaves the colour out where it is black, so that no rule could find it.
        glyphs = re.findall(r'<g id="text_\d+">\s*(?:<!--.*?-->\s*)?<g ([^>]*)>', text)
        assert glyphs
        assert all("fill: #" in part for part in glyphs), chart.key


def test_large_pictures_are_png_of_each_theme() -> None:
    from io import BytesIO

    from PIL import Image

    picture = draw.render(chart_of(4_000))
    assert picture.form == "png"
    corners = []
    for content in (picture.light, picture.dark):
        with Image.open(BytesIO(content)) as image:
            assert image.size == (1040, 600)
            corners.append("#" + image.convert("RGB").tobytes()[:3].hex())
            assert not {"Software", "Creation Time"} & set(image.info)
    assert corners == [LIGHT.paper, DARK.paper]


@pytest.mark.parametrize("n_points", [5, 4_000])
def test_the_same_chart_gives_the_same_bytes_whatever_the_users_settings(n_points: int) -> None:
    import matplotlib as mpl

    wanted = draw.render(chart_of(n_points))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        found = draw.render(chart_of(n_points))
    assert (found.light, found.dark) == (wanted.light, wanted.dark)
    assert b"<dc:date>" not in wanted.light
    assert b"DOCTYPE" not in wanted.light


def test_drawing_leaves_the_users_settings_alone() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw.render(chart_of(3))
    assert dict(mpl.rcParams) == before


def test_every_chart_is_told_in_words(made_up: ReportData) -> None:
    found = charts(made_up)
    assert [chart.key for chart in found] == [
        "confusion",
        "classes",
        "reliability",
        "training",
        "class-distribution",
        "speaker-distribution",
        "importances",
        "importance-families",
        "histograms",
        "embedding-map",
    ]
    for chart in found:
        assert all(len(text) > 30 for text in (chart.alt, chart.reading, chart.finding)), chart.key
        assert re.search(r"\d", chart.finding), chart.key
        assert "nan" not in f"{chart.alt} {chart.finding}".split(), chart.key


def test_findings_say_the_numbers(made_up: ReportData) -> None:
    said = {chart.key: chart.finding for chart in charts(replace(made_up, embedding=None))}
    best = max(made_up.history, key=lambda epoch: epoch.inner_accuracy)
    right = made_up.judged.probabilities.argmax(axis=1) == made_up.judged.truth
    assert f"number {best.number} was best: accuracy {best.inner_accuracy:.1%}" in said["training"]
    assert f"Of {len(right)} windows, {right.sum()} ({right.mean():.1%}) are right" in said["confusion"]
    assert "RAVDESS song has no disgust, surprised" in said["class-distribution"]
    assert made_up.features.importances is not None
    first = made_up.features.names[int(made_up.features.importances.argmax())]
    assert said["importances"].startswith(f"First come {first}")


def test_bars_of_speakers_show_which_of_their_recordings_are_held_out(made_up: ReportData) -> None:
    some = np.arange(len(made_up.clips.speaker)) % 10 == 0
    found = recordings._by_corpus(replace(made_up.clips, held_out=some))
    assert sum(n for _, speakers in found for _, n, _ in speakers) == len(some)
    assert sum(n_held for _, speakers in found for _, _, n_held in speakers) == some.sum()


def test_a_map_keeps_classes_together(made_up: ReportData) -> None:
    assert made_up.embedding is not None
    layout = embedding.lay_out(made_up.embedding)
    assert layout.place.shape == (len(made_up.embedding.label), 2)
    distance = np.linalg.norm(layout.place[:, np.newaxis] - layout.place, axis=-1)
    np.fill_diagonal(distance, np.inf)
    nearest = layout.label[distance.argmin(axis=1)]
    assert (nearest == layout.label).mean() > 0.5
    assert layout.agreement[~layout.held_out].mean() > layout.agreement[layout.held_out].mean() > 0.2
    again = embedding.lay_out(made_up.embedding)
    assert again.place.tobytes() == layout.place.tobytes()


def test_agreement_counts_others_alone() -> None:
    from training.report import Embedding

    # Pairs of one class far from each other: of ten neighbours one is of the same class, never itself.
    vectors = np.repeat(np.arange(30.0), 2)[:, np.newaxis] * [[1.0, 0.5]]
    vectors += 0.01 * np.random.default_rng(0).random(vectors.shape)
    label = np.repeat(np.arange(30), 2)
    found = embedding.lay_out(Embedding(vectors, label, np.zeros(60, dtype=np.bool_), "nothing"))
    np.testing.assert_allclose(found.agreement, 0.1)


def test_a_map_of_many_points_shows_a_sample(made_up: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_up.embedding is not None
    monkeypatch.setattr(embedding, "N_MOST", 60)
    assert len(embedding.lay_out(made_up.embedding).label) == 60


def test_there_is_no_map_of_next_to_nothing(small: ReportData) -> None:
    found = small.embedding
    assert found is not None
    assert embedding.can_map(found)
    assert not embedding.can_map(replace(found, vectors=np.zeros_like(found.vectors)))
    few = replace(found, vectors=found.vectors[:9], label=found.label[:9], held_out=found.held_out[:9])
    assert not embedding.can_map(few)
