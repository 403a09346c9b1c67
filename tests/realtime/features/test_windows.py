"""Windows are the same however the stream is cut, each frame is computed once, and reset forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.errors import FeatureError
from realtime.features import (
    Chroma,
    Contrast,
    Delta,
    FeatureSpec,
    FeatureWindow,
    Flux,
    FrameExtractor,
    Mel,
    Mfcc,
    Pitch,
    Rms,
    WindowExtractor,
    compute,
)

if TYPE_CHECKING:
    import numpy.typing as npt

RATE = 16_000
EVERY_KIND_OF_STATE = FeatureSpec(
    sample_rate=RATE,
    frame_length=512,
    frame_hop=200,
    pre_emphasis=0.97,
    families=(
        Mfcc(n=13, n_mels=40, pool=("mean", "std")),
        Delta(of="mfcc", n=13, width=5, pool=("mean@voiced",)),
        Delta(of="mfcc", n=13, order=2, width=9, pool=("p90",)),
        Flux(n_mels=40, pool=("mean", "slope")),
        Contrast(pool=("mean",)),
        Pitch(fmin=80.0, pool=("mean@voiced", "std@speech")),
    ),
)
WINDOW, HOP = 8000, 2000


def voice_and_noise(n: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(11)
    time = np.arange(n) / RATE
    voiced = np.sum([np.sin(2 * np.pi * 170 * k * time) / k for k in range(1, 9)], axis=0)
    samples = 0.1 * voiced * (np.sin(9 * time) > 0) + 0.01 * rng.standard_normal(n)
    return np.asarray(samples, dtype=np.float32)


SAMPLES = voice_and_noise(RATE)


def assert_same(some: list[FeatureWindow], others: list[FeatureWindow]) -> None:
    assert [(w.start, w.end) for w in some] == [(w.start, w.end) for w in others]
    for one, other in zip(some, others, strict=True):
        assert np.array_equal(one.features, other.features)
        assert np.array_equal(one.voice_rms, other.voice_rms)
        assert np.array_equal(one.harmonicity, other.harmonicity)


def fresh(hop: int = HOP) -> WindowExtractor:
    return WindowExtractor(EVERY_KIND_OF_STATE, window=WINDOW, hop=hop)


WHOLE = fresh().push(SAMPLES)


@given(st.lists(st.integers(0, 5000), max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_any_chunking_gives_the_same_bits(lengths: list[int]) -> None:
    extractor = fresh()
    windows = []
    rest = SAMPLES
    for length in lengths:
        windows += extractor.push(rest[:length])
        rest = rest[length:]
    windows += extractor.push(rest)
    assert len(windows) == 5
    assert_same(windows, WHOLE)


def test_one_sample_at_a_time_gives_the_same_bits() -> None:
    extractor = fresh()
    windows = [window for i in range(len(SAMPLES)) for window in extractor.push(SAMPLES[i : i + 1])]
    assert_same(windows, WHOLE)


@given(hop_frames=st.integers(1, 70), chunk=st.integers(1, 9000))
@settings(max_examples=40)
def test_every_hop_gives_every_due_window(hop_frames: int, chunk: int) -> None:
    """Also where the hop is longer than the window, or has no divisor that makes a block."""
    hop = hop_frames * 200
    windows = []
    extractor = fresh(hop)
    for i in range(0, len(SAMPLES), chunk):
        windows += extractor.push(SAMPLES[i : i + chunk])
        assert len(windows) == max(0, (extractor.n_samples - WINDOW) // hop + 1), "due at once, not later"
    assert_same(windows, fresh(hop).push(SAMPLES))
    assert [w.start for w in windows] == [k * hop for k in range(len(windows))]
    assert {w.end - w.start for w in windows} == {WINDOW}
    n_seen = windows[-1].end if windows else 0
    assert extractor.n_unseen == max(0, len(SAMPLES) - n_seen)


def test_hops_agree_on_the_windows_they_share() -> None:
    coarse, fine = fresh(4000).push(SAMPLES), fresh(1000).push(SAMPLES)
    by_start = {window.start: window for window in fine}
    for window in coarse:
        # Blocks of another size have other last bits.
        np.testing.assert_allclose(window.features, by_start[window.start].features, rtol=1e-4, atol=1e-4)


def test_reset_forgets_and_its_absence_shows() -> None:
    extractor = fresh()
    extractor.push(voice_and_noise(12_345)[::-1])
    extractor.reset()
    assert_same(extractor.push(SAMPLES), WHOLE)
    extractor = fresh()
    extractor.push(voice_and_noise(1000)[::-1])
    without = extractor.push(SAMPLES)
    assert not np.array_equal(without[0].features, WHOLE[0].features)


def test_each_frame_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    n_computed = 0
    init = compute.Block.__init__

    def counting(self: compute.Block, frames: npt.NDArray[np.float64], *rest: object) -> None:
        nonlocal n_computed
        n_computed += len(frames)
        init(self, frames, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(compute.Block, "__init__", counting)
    extractor = fresh()
    extractor.push(SAMPLES[:WINDOW])
    first = n_computed
    for k in range(1, 5):
        extractor.push(SAMPLES[WINDOW + (k - 1) * HOP : WINDOW + k * HOP])
        # Twice, since there is pre-emphasis: features see each frame after it, the measures before it.
        assert n_computed == first + 2 * k * HOP // 200


def test_a_window_sees_nothing_outside_itself_but_what_deltas_look_back_on() -> None:
    spec = FeatureSpec(families=(Mel(n=20, pool=("mean", "std")), Rms(pool=("mean",))))
    other = SAMPLES.copy()
    other[: 2 * 2000] *= 0.1
    windows = [WindowExtractor(spec, window=8000, hop=4000).push(s) for s in (SAMPLES, other)]
    assert not np.array_equal(windows[0][0].features, windows[1][0].features)
    assert np.array_equal(windows[0][1].features, windows[1][1].features)


def test_frames_output_is_the_matrix() -> None:
    spec = FeatureSpec(families=(Mfcc(n=20), Delta(of="mfcc", n=20), Chroma()), output="frames")
    extractor = WindowExtractor(spec, window=48_000, hop=8000)
    windows = extractor.push(np.tile(SAMPLES, 4))
    assert len(windows) == 3
    assert windows[0].features.shape == (extractor.n_frames, 52) == (spec.n_frames(48_000), len(spec.names()))
    assert windows[0].features.dtype == np.float32
    rows = FrameExtractor(spec, block=20, first_block=18).push(np.tile(SAMPLES, 4))
    np.testing.assert_array_equal(
        windows[1].features, rows[20 : 20 + extractor.n_frames, :52].astype(np.float32)
    )


@pytest.mark.parametrize(
    ("window", "hop", "wanted"),
    [(8001, 2000, "window"), (8000, 150, "hop"), (8000, 0, "hop"), (400, 200, "at least")],
)
def test_windows_that_are_no_whole_number_of_frames_are_refused(window: int, hop: int, wanted: str) -> None:
    with pytest.raises(FeatureError, match=wanted):
        WindowExtractor(EVERY_KIND_OF_STATE, window=window, hop=hop)


@pytest.mark.parametrize("own", [(), (Rms(pool=("mean",)),)], ids=["measures added", "RMS a feature too"])
def test_pre_emphasis_changes_nothing_about_what_is_heard(own: tuple[Rms, ...]) -> None:
    plain, emphasised = (
        WindowExtractor(
            FeatureSpec(families=(*own, Mel(n=20, pool=("mean",))), pre_emphasis=coefficient),
            window=WINDOW,
            hop=HOP,
        ).push(SAMPLES)
        for coefficient in (0.0, 0.97)
    )
    assert plain
    for one, other in zip(plain, emphasised, strict=True):
        np.testing.assert_array_equal(one.voice_rms, other.voice_rms)
        np.testing.assert_array_equal(one.harmonicity, other.harmonicity)
        assert not np.allclose(one.features, other.features)
