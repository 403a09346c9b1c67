"""Files dropped on the page: what is shown of them, and that downloads equal what `analyze` prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest
import soundfile
import soxr  # type: ignore[import-untyped]

from realtime.cli import main
from realtime.live import DEMO
from realtime.server.limits import Limits
from realtime.server.server import EventServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from realtime.server.engine import SharedModel
    from realtime.types import FloatArray
    from tests.browser.conftest import Complaints, OpenPage, OpenServer, Shoot

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

RATE = 16_000
NAMED = "03-01-05-01-01-01-01.wav"
"""A name as RAVDESS writes it: an angry voice."""


@pytest.fixture(scope="session")
def voice() -> FloatArray:
    samples, rate = soundfile.read(DEMO, dtype="float32")
    assert rate == RATE
    return np.asarray(samples, np.float32)


def part(voice: FloatArray, rate: int, channels: int, start_s: float, length_s: float) -> FloatArray:
    """Return a part of the demo audio at another rate; each further channel is another one."""
    mono = soxr.resample(voice[round(start_s * RATE) : round((start_s + length_s) * RATE)], RATE, rate)
    return np.stack([np.roll(mono, 7 * channel) * 0.8**channel for channel in range(channels)], axis=1)


class OpenFiles(Protocol):
    """Opens the view of files; settings as `OpenPage` has them."""

    def __call__(self, **settings: object) -> Page: ...


@pytest.fixture
def open_files(server: EventServer, open_page: OpenPage) -> OpenFiles:
    return lambda **settings: open_page(f"{server.page_url}#files", **settings)


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders, as a person would do."""
    box = page.locator("#files .drop").bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send(
            "Input.dispatchDragEvent",
            {"type": kind, "x": box["x"] + 20, "y": box["y"] + 20, "data": data},
        )


def wait_until_done(page: Page, n: int) -> Locator:
    """Wait until so many rows have an answer, and return them."""
    done = page.locator("#files tr.job.done")
    done.nth(n - 1).wait_for()
    return done


def download(page: Page, area: str, kind: str) -> tuple[str, str]:
    """Press a button for downloads; return the file's name and its text."""
    with page.expect_download() as event:
        page.locator(f"#files {area} button[data-format={kind}]").click()
    return event.value.suggested_filename, event.value.path().read_text(encoding="utf-8")


@pytest.fixture
def analyzed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What `tonewatch analyze` prints, run in the test's folder: a page knows of no other folders either."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        main(["analyze", *arguments])
        return capsys.readouterr().out

    return run


def timeless(text: str) -> str:
    """Return JSON without the dates inside: each analysis has its own."""
    return re.sub(r'"time": "[^"]*"', '"time": ""', text)


LOSSLESS = {
    "s16-stereo-48k.wav": (48_000, 2, {"subtype": "PCM_16"}),
    "s16-mono-16k.wav": (16_000, 1, {"subtype": "PCM_16"}),
    "s24-mono-44k.wav": (44_100, 1, {"subtype": "PCM_24"}),
    "s32-extensible-48k.wav": (48_000, 2, {"subtype": "PCM_32", "format": "WAVEX"}),
    "u8-mono-8k.wav": (8_000, 1, {"subtype": "PCM_U8"}),
    "float-stereo-44k.wav": (44_100, 2, {"subtype": "FLOAT"}),
    "double-mono-16k.wav": (16_000, 1, {"subtype": "DOUBLE"}),
    "long-44k.rf64.wav": (44_100, 1, {"subtype": "PCM_16", "format": "RF64"}),
    "s16-stereo-48k.flac": (48_000, 2, {"subtype": "PCM_16"}),
    "s24-mono-44k.flac": (44_100, 1, {"subtype": "PCM_24"}),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_download_equals_analyze(
    name: str,
    voice: FloatArray,
    tmp_path: Path,
    open_files: OpenFiles,
    analyzed: Callable[..., str],
) -> None:
    rate, channels, settings = LOSSLESS[name]
    soundfile.write(tmp_path / name, part(voice, rate, channels, 7.3, 9.1), rate, **settings)
    page = open_files()
    drop(page, tmp_path / name)
    wait_until_done(page, 1)
    csv = analyzed(name, "--format", "csv")
    assert csv.count("\n") > 5, "the recording should hold a voice"
    stem = name.rsplit(".", 1)[0]
    assert download(page, ".recording", "csv") == (f"{stem}.csv", csv)
    assert download(page, ".recording", "audacity") == (
        f"{stem}.labels.txt",
        analyzed(name, "--format", "audacity"),
    )
    file_name, text = download(page, ".recording", "json")
    assert file_name == f"{stem}.json"
    assert timeless(text) == timeless(analyzed(name, "--format", "json"))


@pytest.mark.parametrize("announced", ["as it was", "more than 4 GB"])
def test_recorder_that_was_cut_off(
    announced: str, voice: FloatArray, tmp_path: Path, open_files: OpenFiles, analyzed: Callable[..., str]
) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, part(voice, 44_100, 2, 7.3, 9.1), 44_100)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    if announced == "more than 4 GB":
        data[at : at + 4] = b"\xff" * 4
    # Inside of a frame, and of a sample.
    path.write_bytes(data[: len(data) * 2 // 3 // 4 * 4 + 45])
    page = open_files()
    drop(page, path)
    wait_until_done(page, 1)
    assert download(page, ".recording", "csv")[1] == analyzed("cut.wav", "--format", "csv")


def test_m4a(voice: FloatArray, tmp_path: Path, open_files: OpenFiles) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("needs ffmpeg")
    soundfile.write(tmp_path / "talk.wav", part(voice, 22_050, 1, 7.3, 9.1), 22_050)
    files = [str(tmp_path / name) for name in ("talk.wav", "talk.m4a")]
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", *files], check=True)
    page = open_files()
    for name in ("talk.wav", "talk.m4a"):
        drop(page, tmp_path / name)
    page.locator("#files tr.job:not(.working, .waiting)").nth(1).wait_for()
    if page.locator("#files tr.failed").count():
        pytest.skip("this Chromium knows no AAC")
    wav, m4a = json.loads(download(page, ".list", "json")[1])
    assert m4a["duration_s"] == pytest.approx(wav["duration_s"], abs=0.1)
    assert m4a["probabilities"] == pytest.approx(wav["probabilities"], abs=0.1)


@pytest.mark.parametrize("name", ["lossy.mp3", "lossy.ogg", "alaw.wav"])
def test_lossy_files_differ_by_their_decoders_alone(
    name: str,
    voice: FloatArray,
    tmp_path: Path,
    open_files: OpenFiles,
    analyzed: Callable[..., str],
) -> None:
    rate = {"alaw.wav": 8_000}.get(name, 44_100)
    samples = part(voice, rate, 1, 7.3, 9.1)
    soundfile.write(tmp_path / name, samples, rate, subtype="ALAW" if name == "alaw.wav" else None)
    page = open_files()
    drop(page, tmp_path / name)
    wait_until_done(page, 1)
    (found,) = json.loads(download(page, ".recording", "json")[1])
    (wanted,) = json.loads(analyzed(name, "--format", "json"))
    assert found["duration_s"] == pytest.approx(wanted["duration_s"], abs=0.03)
    predictions = [[e for e in one["events"] if e["type"] == "prediction"] for one in (found, wanted)]
    assert len(predictions[0]) == len(predictions[1]) > 5
    for one, other in zip(*predictions, strict=True):
        assert one["start_s"] == other["start_s"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=0.01)


def test_picture_figures_and_playback(
    voice: FloatArray, tmp_path: Path, open_files: OpenFiles, shoot: Shoot
) -> None:
    soundfile.write(tmp_path / NAMED, part(voice, 16_000, 1, 0, 30), 16_000)
    page = open_files()
    shoot(page, "files-empty")
    drop(page, tmp_path / NAMED)
    wait_until_done(page, 1)
    recording = page.locator("#files .recording")
    expect(recording.locator("h3")).to_have_text(NAMED, use_inner_text=True)
    assert "its name says: angry" in recording.inner_text()
    assert is_coloured(page)
    shares = recording.locator(".figure").nth(0).locator(".row-value").all_inner_texts()
    assert abs(sum(int(share.rstrip("%")) for share in shares) - 100) <= len(shares)
    slider = recording.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuemax", "30.0")
    slider.press("PageUp")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "11.0")
    assert re.fullmatch(r"0:11, \w+ \d+%", slider.get_attribute("aria-valuetext") or "")
    box = slider.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 30)
    assert float(slider.get_attribute("aria-valuenow") or 0) == pytest.approx(15, abs=0.1)
    readout = recording.locator(".readout")
    assert "0:14" in readout.inner_text() or "0:15" in readout.inner_text()
    shoot(page, "files-recording")
    for zoom in ("+", "+", "-", "+"):
        slider.press(zoom)
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 30)
    assert float(readout.locator("p").first.inner_text().removeprefix("0:")) > 9, "zoomed in around 15 s"
    shoot(page, "files-zoomed")
    recording.get_by_role("button", name="Zoom out").click()
    recording.get_by_role("button", name="Zoom out").click()
    expect(recording.get_by_role("button", name="Zoom out")).to_be_disabled()
    recording.get_by_role("button", name="Play", exact=True).click()
    expect(slider).to_have_attribute("aria-valuenow", re.compile(r"15\.[5-9]|16\.\d"))
    recording.get_by_role("button", name="Pause", exact=True).click()
    recording.locator("summary").click()
    first = recording.locator(".stretches tbody tr").first
    first.get_by_role("button").click()
    start_s = float(first.locator("td").first.inner_text().removesuffix(" s"))
    assert float(slider.get_attribute("aria-valuenow") or -1) == pytest.approx(start_s, abs=0.06)


def is_coloured(page: Page) -> bool:
    """Whether the picture under the outline holds several colours."""
    n_colours = page.evaluate("""() => {
        const canvas = document.querySelector("#files .picture canvas");
        const { data } = canvas.getContext("2d").getImageData(0, canvas.height - 36, canvas.width, 1);
        const colours = new Set();
        for (let i = 0; i < data.length; i += 4) colours.add(data.slice(i, i + 3).join());
        return colours.size;
    }""")
    return bool(n_colours > 4)


def test_a_pause_is_a_hole_in_the_picture(voice: FloatArray, tmp_path: Path, open_files: OpenFiles) -> None:
    pause = np.zeros(5 * RATE, dtype=np.float32)
    pieces = [part(voice, RATE, 1, at_s, 5) for at_s in (0, 8)]
    soundfile.write(tmp_path / NAMED, np.concatenate((pieces[0].ravel(), pause, pieces[1].ravel())), RATE)
    page = open_files()
    drop(page, tmp_path / NAMED)
    wait_until_done(page, 1)
    # The colours of a row of the areas, and of one of the strip: until 4.5 s of 15, and from 6 to 9.
    voiced, silent = page.evaluate("""() => {
        const canvas = document.querySelector("#files .picture canvas");
        const { width, height, clientHeight } = canvas;
        // All at once: browsers complain of several readings.
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        const colours = (from, to) => [120, clientHeight - 31].map((row) => {
            const found = new Set();
            for (let x = Math.round(from * width); x < to * width; x++) {
                const at = 4 * (Math.round((row * height) / clientHeight) * width + x);
                found.add(data.slice(at, at + 3).join());
            }
            return [...found];
        });
        return [colours(0.1, 0.3), colours(0.4, 0.6)];
    }""")
    assert silent == [["238,240,243"]] * 2
    assert all("238,240,243" not in row for row in voiced)
    slider = page.locator("#files .recording").get_by_role("slider")
    slider.press("PageUp")
    for _ in range(3):
        slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("no voice"))


@pytest.fixture
def folder(voice: FloatArray, tmp_path: Path) -> Path:
    """A folder with recordings, in folders too, one that is broken, and what is none."""
    folder = tmp_path / "talks"
    (folder / "inner").mkdir(parents=True)
    soundfile.write(folder / NAMED, part(voice, 16_000, 1, 20, 7), 16_000)
    soundfile.write(folder / 'b, "loud".flac', part(voice, 22_050, 1, 2, 6), 22_050)
    soundfile.write(folder / "inner" / "a.wav", part(voice, 16_000, 2, 0, 5), 16_000)
    soundfile.write(folder / "quiet.wav", np.zeros(4 * RATE), RATE)
    (folder / "notes.txt").write_text("none of the kind")
    return folder


def break_one(folder: Path) -> None:
    (folder / "broken.mp3").write_bytes(b"nothing of the kind" * 100)


@pytest.mark.parametrize("way", ["drop", "choose"])
def test_folder_becomes_a_table(
    way: str,
    folder: Path,
    open_files: OpenFiles,
    analyzed: Callable[..., str],
    shoot: Shoot,
) -> None:
    break_one(folder)
    page = open_files()
    if way == "drop":
        drop(page, folder)
    else:
        page.locator("#files input[webkitdirectory]").set_input_files(folder)
    wait_until_done(page, 4)
    failed = page.locator("#files tr.failed")
    failed.wait_for()
    assert "talks/broken.mp3" in failed.inner_text()
    assert "cannot decode" in failed.inner_text()
    assert "4 recordings" not in page.locator("#files .count").inner_text()
    assert "1 could not be judged" in page.locator("#files .count").inner_text()
    assert "notes.txt" not in page.locator("#files").inner_text()
    shoot(page, f"files-folder-{way}")
    (folder / "broken.mp3").unlink()
    for kind in ("csv", "audacity"):
        assert download(page, ".list", kind)[1] == analyzed("talks", "--format", kind)
    text = download(page, ".list", "json")[1]
    assert timeless(text) == timeless(analyzed("talks", "--format", "json"))
    page.locator("#files .content").select_option("whole")
    for kind in ("csv", "json", "audacity"):
        assert download(page, ".list", kind)[1] == analyzed("talks", "--whole", "--format", kind)


def test_table_sorts_and_opens(folder: Path, open_files: OpenFiles, shoot: Shoot) -> None:
    page = open_files()
    drop(page, folder)
    rows = wait_until_done(page, 4)
    files = page.locator("#files tr.job .file-name")
    first = files.all_inner_texts()
    names = (NAMED, 'b, "loud".flac', "inner/a.wav", "quiet.wav")
    assert first == [f"talks/{name}" for name in names]
    page.get_by_role("button", name="Length").click()
    expect(page.locator("th.column-length")).to_have_attribute("aria-sort", "descending")
    lengths = rows.locator("td:nth-child(2)").all_inner_texts()
    assert lengths == sorted(lengths, reverse=True)
    page.get_by_role("button", name="Length").click()
    assert rows.locator("td:nth-child(2)").all_inner_texts() == sorted(lengths)
    page.get_by_role("button", name="File", exact=True).click()
    assert files.all_inner_texts() == sorted(first)
    expect(page.locator("#files .recording")).to_be_hidden()
    rows.nth(2).locator("td").nth(1).click()
    expect(page.locator("#files .recording h3")).to_have_text("talks/inner/a.wav", use_inner_text=True)
    page.get_by_role("button", name="talks/quiet.wav", exact=True).press("Enter")
    expect(page.locator("#files .recording h3")).to_have_text("talks/quiet.wav", use_inner_text=True)
    assert page.evaluate("document.activeElement.textContent") == "talks/quiet.wav"
    assert "no voice" in page.locator("#files .recording").inner_text().lower()
    rows.nth(0).click()
    shoot(page, "files-table")
    page.get_by_role("button", name="Remove talks/quiet.wav").click()
    expect(files).to_have_count(3)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#files .list")).to_be_hidden()
    expect(page.locator("#files .recording")).to_be_hidden()


def test_several_files_of_one_drop(folder: Path, open_files: OpenFiles) -> None:
    page = open_files()
    page.locator("#files input[multiple]").set_input_files([folder / NAMED, folder / "quiet.wav"])
    wait_until_done(page, 2)
    assert page.locator("#files tr.job .file-name").all_inner_texts() == [NAMED, "quiet.wav"]


def test_folder_without_audio_is_named(tmp_path: Path, open_files: OpenFiles) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "notes.txt").write_text("none")
    page = open_files()
    drop(page, tmp_path / "papers")
    page.get_by_text("“papers” holds no audio files.").wait_for()


def test_empty_and_silent_files(tmp_path: Path, open_files: OpenFiles) -> None:
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "header.wav", np.zeros(0), RATE)
    page = open_files()
    drop(page, tmp_path / "empty.wav", tmp_path / "header.wav")
    failed = page.locator("#files tr.failed")
    failed.nth(1).wait_for()
    assert all("holds no audio" in text for text in failed.all_inner_texts())


def test_cancel_and_try_again(
    voice: FloatArray, tmp_path: Path, open_files: OpenFiles, complaints: Complaints
) -> None:
    complaints.cancels = True
    soundfile.write(tmp_path / "long.wav", np.tile(voice, 20), RATE)
    soundfile.write(tmp_path / "short.wav", voice[: 5 * RATE], RATE)
    page = open_files()
    drop(page, *[tmp_path / "long.wav"] * 2, tmp_path / "short.wav")
    page.locator("#files progress").nth(1).wait_for()
    assert page.locator("#files tr.working").count() == 2, "two at a time"
    page.locator("#files .cancel-all").click()
    page.locator("#files tr.cancelled").nth(2).wait_for()
    page.get_by_role("button", name="Try long.wav again").first.click()
    page.get_by_role("button", name="Cancel long.wav").click()
    page.locator("#files tr.cancelled").nth(2).wait_for()
    page.get_by_role("button", name="Try short.wav again").click()
    wait_until_done(page, 1)


def test_the_keyboard_is_not_lost_when_all_are_cancelled(
    voice: FloatArray, tmp_path: Path, open_files: OpenFiles, complaints: Complaints
) -> None:
    complaints.cancels = True
    soundfile.write(tmp_path / "long.wav", np.tile(voice, 20), RATE)
    page = open_files()
    drop(page, *[tmp_path / "long.wav"] * 2)
    page.locator("#files .cancel-all").press("Enter")
    page.locator("#files tr.cancelled").nth(1).wait_for()
    assert focused(page) == "Choose files…"


def test_many_files_are_cancelled_at_once(open_files: OpenFiles, complaints: Complaints) -> None:
    complaints.cancels = True
    n = 200
    page = open_files()
    n_looked_at = page.evaluate(
        """(n) => {
          const files = new DataTransfer();
          for (let i = 0; i < n; i++) files.items.add(new File(["none"], `${i}.wav`));
          const input = document.querySelector("#files input[multiple]:not([webkitdirectory])");
          input.files = files.files;
          input.dispatchEvent(new Event("change"));
          let nLookedAt = 0;
          const look = HTMLTableRowElement.prototype.querySelector;
          HTMLTableRowElement.prototype.querySelector = function (selector) {
            nLookedAt += 1;
            return look.call(this, selector);
          };
          document.querySelector("#files .cancel-all").click();
          HTMLTableRowElement.prototype.querySelector = look;
          return nLookedAt;
        }""",
        n,
    )
    expect(page.locator("#files tr.cancelled")).to_have_count(n)
    assert n_looked_at <= 2 * n


def focused(page: Page) -> str:
    """Return the name of what has the keyboard."""
    name: str = page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
    return name


def test_the_keyboard_stays_at_its_row(tmp_path: Path, open_files: OpenFiles) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp3").write_bytes(b"nothing of the kind" * 100)
    page = open_files()
    drop(page, *(tmp_path / f"{name}.mp3" for name in ("a", "b", "c")))
    page.locator("#files tr.failed").nth(2).wait_for()
    # It fails again: meanwhile there was another button.
    page.get_by_role("button", name="Try b.mp3 again").press("Enter")
    page.locator("#files tr.failed").nth(2).wait_for()
    assert "b.mp3" in focused(page)
    page.get_by_role("button", name="Remove b.mp3").press("Enter")
    assert focused(page) == "Remove c.mp3"
    page.keyboard.press("Enter")
    assert focused(page) == "Remove a.mp3"
    page.keyboard.press("Enter")
    expect(page.locator("#files tr.job")).to_have_count(0)
    assert focused(page) == "Choose files…"


def test_server_that_comes_back(
    voice: FloatArray, tmp_path: Path, open_server: OpenServer, open_page: OpenPage, complaints: Complaints
) -> None:
    complaints.server_may_be_gone = True
    soundfile.write(tmp_path / "talk.wav", voice[: 5 * RATE], RATE)
    server = open_server()
    page = open_page(f"{server.page_url}#files")
    server.close()
    drop(page, tmp_path / "talk.wav")
    page.locator("#files tr.working").wait_for()
    open_server(port=server.port)
    wait_until_done(page, 1)


def test_full_server_is_waited_for(
    voice: FloatArray, tmp_path: Path, model: SharedModel, open_page: OpenPage
) -> None:
    soundfile.write(tmp_path / "long.wav", voice[: 20 * RATE], RATE)
    server = EventServer("127.0.0.1", 0, model=model, limits=Limits(n_senders=1))
    server.start()
    try:
        page = open_page(f"{server.page_url}#files")
        drop(page, *[tmp_path / "long.wav"] * 3)
        wait_until_done(page, 3)
        page.close()
    finally:
        server.close()


def test_files_are_nobody_elses_business(
    voice: FloatArray, tmp_path: Path, server: EventServer, open_page: OpenPage, open_files: OpenFiles
) -> None:
    soundfile.write(tmp_path / "secret.wav", voice[: 8 * RATE], RATE)
    other = open_page(server.page_url)
    page = open_files()
    drop(page, tmp_path / "secret.wav")
    wait_until_done(page, 1)
    expect(other.locator("#live .card")).to_have_count(0)


LOOKS = {
    "dark, in German": {"theme": "dark", "locale": "de-DE", "width": 1280},
    "phone": {"theme": "light", "width": 390},
}


@pytest.mark.parametrize("look", LOOKS)
def test_other_looks(look: str, folder: Path, open_files: OpenFiles, shoot: Shoot) -> None:
    library = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")
    settings = LOOKS[look]
    page = open_files(**settings)
    found = library.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    drop(page, folder)
    wait_until_done(page, 4).nth(1).locator("button").first.click()
    page.locator("#files .recording").wait_for()
    page.locator("#files summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= settings["width"]
    shoot(page, f"files-{look}")
    found = library.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    if settings.get("locale") == "de-DE":
        assert "Zeitanteile" in page.locator("#files .file-table thead").inner_text()
