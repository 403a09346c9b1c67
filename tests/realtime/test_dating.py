from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from realtime.dating import DRIFT_S, SPAN_S, Dating
from realtime.types import Chunk, State

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RATE = 1000


class World:
    """A system's two clocks, and a source of which one minute has a length of its own."""

    def __init__(self) -> None:
        self.now_s = 500.0
        self.set_s = 0.0
        self.dating = Dating(RATE, now=self.now, clock=lambda: self.now_s)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.now_s - 500 + self.set_s)

    def come(self, seconds: float, *, dropped_s: float = 0.0, queued_s: float = 0.0) -> float | None:
        """Let samples come; return the date of the first of all, in seconds since noon."""
        samples = np.zeros(round(seconds * RATE), dtype=np.float32)
        chunk = Chunk(samples, round(dropped_s * RATE), queued_s, State.SILENT, "why")
        dated = self.dating.date(chunk)
        assert dated.samples is samples
        assert (dated.dropped, dated.queued_s) == (chunk.dropped, queued_s)
        assert (dated.state, dated.detail) == (State.SILENT, "why")
        return None if dated.started is None else (dated.started - NOON).total_seconds()

    def listen(self, seconds: float, speed: float = 1.0, **settings: float) -> float | None:
        """Let time pass, and samples come with it."""
        found = None
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            found = self.come(0.1 * speed, **settings)
        return found


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_samples_tell_the_date(world: World) -> None:
    world.now_s += 3600
    assert world.come(0) is None
    assert world.come(0.5) == 3599.5


def test_a_date_that_was_told_stays_until_it_is_wrong(world: World) -> None:
    world.dating = Dating(RATE, now=world.now, clock=lambda: world.now_s, started=NOON)
    assert world.listen(100) == 0
    world.now_s += 1.5
    assert world.listen(100) == 0
    world.now_s += 60
    assert world.listen(100) == pytest.approx(61.5)
    # As where the microphone is not allowed at once.
    world.dating = Dating(RATE, now=world.now, clock=lambda: world.now_s, started=world.now())
    began = (world.now() - NOON).total_seconds()
    world.now_s += 30
    assert world.listen(1) == pytest.approx(began + 30)


def test_what_was_lost_before_them_counts(world: World) -> None:
    world.now_s += 60
    assert world.come(0, dropped_s=60) == 0
    assert world.listen(100) == 0


def test_what_waited_here_came_earlier(world: World) -> None:
    world.now_s += 10
    # The last of it came 4 s ago.
    assert world.come(0.5, queued_s=4.5) == 5.5
    # As long as all of it is: the last sample came just now.
    world.now_s += 7
    assert world.come(3, queued_s=3) == 5.5
    assert World().come(3, queued_s=2.5) == -3


def test_jitter_changes_nothing(world: World) -> None:
    start_s = world.listen(1)
    for _ in range(20):
        world.now_s += 3.9
        # Held up somewhere, and then all at once.
        for _ in range(13):
            found = world.come(0.3)
        assert found == start_s


def test_a_clock_that_is_set_is_followed_at_once(world: World) -> None:
    assert world.listen(3) == pytest.approx(0)
    world.set_s = 3600
    assert world.listen(0.1) == pytest.approx(3600)
    world.set_s = -3600
    assert world.listen(0.1) == pytest.approx(-3600)
    # Less is none of our business, and does not add up.
    for _ in range(5):
        world.set_s += 0.3
        assert world.listen(1) == pytest.approx(-3600)
    world.set_s += 0.6
    assert world.listen(1) == pytest.approx(-3600 + 2.1)


def test_a_pause_that_nobody_counted_is_found_out(world: World) -> None:
    assert world.listen(5) == pytest.approx(0)
    world.now_s += 30
    assert world.listen(2 * SPAN_S) == pytest.approx(30)
    # Shorter ones are jitter, until they add up.
    world.now_s += 0.75 * DRIFT_S
    assert world.listen(2 * SPAN_S) == pytest.approx(30)
    world.now_s += 0.75 * DRIFT_S
    assert world.listen(2 * SPAN_S) == pytest.approx(30 + 1.5 * DRIFT_S)


@pytest.mark.parametrize("speed", [0.99, 1.01])
def test_another_clock_s_drift_is_followed(world: World, speed: float) -> None:
    first = world.listen(1, speed)
    assert first is not None
    # The samples of an hour take 36 s less or more.
    found = world.listen(3600, speed)
    assert found == pytest.approx(first + 36 * (1 if speed < 1 else -1), abs=2 * DRIFT_S)


def test_what_was_counted_as_lost_and_came_all_the_same(world: World) -> None:
    assert world.listen(5) == pytest.approx(0)
    world.now_s += 6
    world.come(0, dropped_s=6)
    # At once: nothing is heard before its date.
    assert world.come(6) == pytest.approx(-6)
    assert world.listen(3 * SPAN_S) == pytest.approx(-6)
    # What comes early without having been lost is a recording, or soon found out.
    assert world.come(6) == pytest.approx(-6)


def test_that_nothing_comes_does_not_say_how_late_it_is(world: World) -> None:
    assert world.listen(5) == pytest.approx(0)
    for _ in range(7):
        world.now_s += 1
        assert world.come(0) == pytest.approx(0)
    assert world.come(7) == pytest.approx(0)
    for _ in range(3):
        world.listen(SPAN_S / 2)
        for _ in range(20):
            world.now_s += 1
            world.come(0)
        assert world.come(20) == pytest.approx(0)


def test_a_recording_is_dated_once(world: World) -> None:
    first = world.listen(100, speed=50)
    assert first == pytest.approx(-4.9)
    world.set_s = 60
    assert world.listen(10, speed=50) == pytest.approx(55.1)
