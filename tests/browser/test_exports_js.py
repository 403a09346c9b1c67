"""What the page makes of messages equals what the reports make of events, for any events."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from realtime import messages, reports
from realtime.analysis import NO_VOICE, Analysis, label_of_name
from realtime.decision import decide
from realtime.types import LABELS, Prediction, State, Status, Stream

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from realtime.server.server import EventServer
    from realtime.types import Event
    from tests.browser.conftest import OpenPage

WRITERS = {"csv": reports.as_csv, "json": reports.as_json, "audacity": reports.as_audacity}


@pytest.fixture
def page(server: EventServer, open_page: OpenPage) -> Page:
    return open_page(server.page_url)


def made_up(path: str, rate: int, seed: int) -> Analysis:
    """Return an analysis with gaps, short labels and odd lengths."""
    draw = random.Random(seed)
    window, hop = 3 * rate, rate // 2
    labels = LABELS[: draw.choice([4, 8])]
    stream = Stream(Path(path).name, "made up", labels, rate, window, hop, datetime(2026, 1, 1, tzinfo=UTC))
    events: list[Event] = [Status(stream, State.STARTING, "collecting", 0, 0)]
    at = 0
    rows: list[list[float]] = []
    for seq in range(draw.choice([0, 1, 30])):
        values = np.random.default_rng(seed + seq).dirichlet([0.3] * len(labels)).astype(np.float32).tolist()
        # Exactly between two decimals, now and then.
        values[0] = draw.choice([values[0], 0.03125, 0.5, 1e-6, 0.0, 1.0])
        best = int(np.argmax(values))
        at += draw.choice([hop, hop, hop, hop + draw.randrange(4 * window)])
        stop = at + window - draw.randrange(hop)
        # A voice in all of the window, in some of it, or nobody knows where.
        first = draw.choice([at, draw.randrange(at, stop)])
        voice = draw.choice([(first, stop), (first, draw.randrange(first, stop) + 1), (None, None)])
        events.append(
            Prediction(
                stream, seq, at, stop, labels[best], values[best],
                tuple(values), tuple(values[::-1]), -20.5, draw.choice([0, 0, 7]),
                intensity=draw.choice([None, 0.03125, draw.random()]),
                voice_start=voice[0], voice_end=voice[1],
            )
        )  # fmt: skip
        rows.append([round(value, 6) for value in values])
    end = at + window - draw.randrange(hop)
    lost = [("no numbers", 7), ("cut off", 5), ("no numbers", 0), ("no numbers", 9)]
    events += [Status(stream, State.RECOVERING, why, end, end, None, n) for why, n in lost]
    events.append(Status(stream, State.STOPPED, "the stream has ended", end, end, -30.0, 3))
    mean = np.mean(rows, axis=0).astype(np.float32) if rows else np.zeros(len(labels), np.float32)
    label, probability = decide(mean, labels, 0.0)
    return Analysis(
        Path(path),
        labels,
        end / rate,
        tuple(events),
        label if rows else NO_VOICE,
        probability,
        mean,
        label_of_name(Path(path)),
    )


def hello(analysis: Analysis) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(messages.hello([analysis.events[0].stream]))
    return made


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 8_000])
def test_texts_equal_the_reports(rate: int, page: Page) -> None:
    names = ("03-01-06-01-01-01-01.wav", 'a, "b".wav', "ä/ö.flac", "tab\there.wav", "a\rb.wav", "a\nb.wav")
    paths = [f"talks/{name}" for name in names]
    for seed in range(12):
        made = [made_up(path, rate, 100 * seed + i) for i, path in enumerate(paths[: 1 + seed % 6])]
        made = [one for one in made if one.labels == made[0].labels]
        sent = [
            [
                str(one.path),
                hello(one),
                [messages.encode(messages.to_message(e)).decode() for e in one.events],
            ]
            for one in made
        ]
        written = page.evaluate(
            """async (sent) => {
                const { Analysis } = await import("/analysis.js");
                const { exported } = await import("/exports.js");
                const analyses = sent.map(([path, hello, texts]) => {
                    const analysis = new Analysis(path, hello);
                    for (const text of texts) {
                        analysis.take(JSON.parse(text), text.replace(/}$/, ',"sent":"now"}'));
                    }
                    return analysis;
                });
                const both = (format) => [false, true].map((whole) => exported(analyses, format, whole));
                const losses = analyses.map((analysis) => analysis.losses);
                return { csv: both("csv"), json: both("json"), audacity: both("audacity"), losses };
            }""",
            sent,
        )
        assert written["losses"] == [list(one.losses) for one in made]
        for name, write in WRITERS.items():
            texts = [write(made, whole=whole).rstrip("\n") for whole in (False, True)]
            wanted = [text and f"{text}\n" for text in texts]
            assert written[name] == wanted


def test_the_moments_of_which_the_page_says_that_no_voice_is_there_are_in_no_stretch(page: Page) -> None:
    for seed in range(20):
        made = made_up("talk.wav", 16_000, seed)
        times_s = [0.05 + 0.1 * k for k in range(int(10 * made.duration_s))]
        sent = [messages.encode(messages.to_message(e)).decode() for e in made.events]
        shown = page.evaluate(
            """async ([hello, texts, times]) => {
                const { Analysis } = await import("/analysis.js");
                const analysis = new Analysis("talk.wav", hello);
                for (const text of texts) analysis.take(JSON.parse(text), text);
                const inside = (t) => analysis.heard.some(({ start_s, end_s }) => start_s <= t && t < end_s);
                return times.map((time) => [analysis.windowAt(time) !== undefined, inside(time)]);
            }""",
            [hello(made), sent, times_s],
        )
        stretches = made.timeline()
        for time_s, (is_read, is_drawn) in zip(times_s, shown, strict=True):
            is_labelled = any(s.start_s <= time_s < s.end_s for s in stretches)
            assert is_read == is_drawn == is_labelled


def test_numbers_are_written_as_python_writes_them(page: Page) -> None:
    draw = random.Random(0)
    values = [
        *(draw.random() for _ in range(2000)),
        *(draw.randrange(10**9) / 16_000 for _ in range(2000)),
        # Odd multiples of these lie exactly between two decimals.
        *(draw.randrange(10**6) / 2 ** draw.choice([4, 5, 7]) for _ in range(2000)),
        *(draw.randrange(1000) / 1e6 for _ in range(1000)),
    ]
    found = page.evaluate(
        """async (values) => {
            const { fixed, fraction } = await import("/numbers.js");
            const json = (value) => fraction(Number(fixed(value, 6)));
            return values.map((value) => [...[3, 4, 6].map((n) => fixed(value, n)), json(value)]);
        }""",
        values,
    )
    for value, written in zip(values, found, strict=True):
        json = msgspec.json.encode(round(value, 6)).decode()
        assert written == [f"{value:.3f}", f"{value:.4f}", f"{value:.6f}", json]
