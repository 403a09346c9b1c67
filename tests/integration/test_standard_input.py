"""A pipe that gives nothing for a while: everyone is told, and it goes on when bytes come again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from realtime import messages
from realtime.messages import Prediction, Status
from realtime.types import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import MakeVoice, StartTonewatch

pytestmark = pytest.mark.timeout(120)


class Listening:
    """`tonewatch listen --input -`, and what it said so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.told: list[messages.Message] = []

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def until(self, holds: Callable[[messages.Message], bool]) -> messages.Message:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(messages.decode(line))
            if holds(self.told[-1]):
                return self.told[-1]
        raise AssertionError(f"it ended after {self.told[-3:]}")

    def until_state(self, state: State) -> Status:
        found = self.until(lambda message: isinstance(message, Status) and message.state is state)
        assert isinstance(found, Status)
        return found


@pytest.fixture
def listening(start_tonewatch: StartTonewatch, tiny_model: Path) -> Listening:
    words = ("listen", "--input", "-", "--json", "--model", tiny_model)
    return Listening(start_tonewatch(*words, stdin=subprocess.PIPE))


def test_a_pause_is_told_and_what_comes_after_it_is_heard(
    listening: Listening, make_voice: MakeVoice
) -> None:
    data = (make_voice(4) * 32_768).astype("<i2").tobytes()
    # Half a sample comes before the pause.
    listening.write(data + data[:1])
    listening.until(lambda message: isinstance(message, Prediction) and message.end_s == 4.0)
    dead = listening.until_state(State.NO_SIGNAL)
    assert (dead.detail, dead.dropped) == ("nothing comes from stdin", 0)
    # Nothing was held up.
    listening.write(data[1:3_201])
    back = listening.until_state(State.RECOVERING)
    assert "stdin gave nothing for" in back.detail
    assert back.dropped >= 1.5 * 16_000
    listening.write(data[3_201:])
    again = listening.until(lambda message: isinstance(message, Prediction))
    assert listening.process.stdin is not None
    listening.process.stdin.close()
    last = listening.until_state(State.STOPPED)
    # Each sample is in a window or counted.
    n_lost = sum(message.dropped for message in listening.told if isinstance(message, Prediction | Status))
    assert last.at_s == pytest.approx(8 + n_lost / 16_000, abs=1e-5)
    assert isinstance(again, Prediction)
    assert again.end_s == pytest.approx(4 + n_lost / 16_000 + 3)
    assert listening.process.wait(60) == 0


def test_what_was_held_up_is_heard_and_nothing_is_lost(listening: Listening, make_voice: MakeVoice) -> None:
    data = (make_voice(12) * 32_768).astype("<i2").tobytes()
    listening.write(data[:128_001])
    listening.until_state(State.NO_SIGNAL)
    listening.write(data[128_001:])
    # At once, with a window of which a part came before.
    again = listening.until(lambda message: isinstance(message, Prediction))
    assert isinstance(again, Prediction)
    assert again.end_s == 4.5
    assert listening.process.stdin is not None
    listening.process.stdin.close()
    last = listening.until_state(State.STOPPED)
    assert last.at_s == 12
    statuses = [message for message in listening.told if isinstance(message, Status)]
    assert sum(message.dropped for message in listening.told if isinstance(message, Prediction | Status)) == 0
    assert State.RECOVERING not in [message.state for message in statuses]


def test_dates_are_those_of_the_samples(listening: Listening) -> None:
    # The sender takes its time.
    time.sleep(3)
    wanted = datetime.now(UTC)
    listening.write(bytes(3_200))
    first = listening.until_state(State.STARTING)
    assert abs((first.time - wanted).total_seconds()) < 1
    listening.write(bytes(160_000))
    assert listening.until_state(State.NO_SIGNAL).time == first.time + timedelta(seconds=3)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pipe_that_gives_nothing_can_be_interrupted(listening: Listening, number: signal.Signals) -> None:
    listening.write(bytes(3_200))
    listening.until_state(State.STARTING)
    listening.process.send_signal(number)
    listening.until_state(State.STOPPED)
    # Nothing is said of the thread that still waits.
    assert listening.process.communicate(timeout=60) == (b"", b"")
    assert listening.process.returncode == 128 + number
