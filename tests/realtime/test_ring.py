from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.ring import RingBuffer

if TYPE_CHECKING:
    from realtime.types import FloatArray


@dataclass
class Model:
    """What the ring should do, one sample at a time; None stands for a lost one."""

    capacity: int
    items: list[float | None] = field(default_factory=list)

    def write(self, samples: list[float], lost: int) -> int:
        self.items += [*([None] * lost), *samples]
        n_dropped = 0
        for index, item in enumerate(self.items):
            if len([item for item in self.items if item is not None]) <= self.capacity:
                break
            if item is not None:
                self.items[index] = None
                n_dropped += 1
        return n_dropped

    def read(self) -> tuple[list[float], int]:
        dropped = 0
        while self.items and self.items[0] is None:
            del self.items[0]
            dropped += 1
        samples = []
        while self.items and (item := self.items[0]) is not None:
            samples.append(item)
            del self.items[0]
        return samples, dropped


writes = st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 0, 1, 5]))


@given(capacity=st.integers(1, 8), operations=st.lists(writes | st.just("read"), max_size=40))
def test_equals_the_model(capacity: int, operations: list[tuple[int, int] | str]) -> None:
    ring, model = RingBuffer(capacity), Model(capacity)
    n_written = 0
    for operation in [*operations, *["read"] * 40]:
        if isinstance(operation, tuple):
            n_samples, lost = operation
            samples = [float(n_written + i) for i in range(n_samples)]
            n_written += n_samples
            dropped = ring.write(np.array(samples, dtype=np.float32), lost=lost)
            assert dropped == model.write(samples, lost)
        else:
            result = ring.read(0)
            assert (result.samples.tolist(), result.dropped) == model.read()
        assert len(ring) == sum(item is not None for item in model.items)


def test_two_threads_account_for_every_sample() -> None:
    n_total, ring = 200_000, RingBuffer(500, channels=2)
    numbers = np.arange(n_total, dtype=np.float32)
    stereo = np.stack([numbers, -numbers], axis=1)
    n_dropped_by_writer = 0

    def write() -> None:
        nonlocal n_dropped_by_writer
        rng, start = random.Random(1), 0
        while start < n_total:
            end = min(n_total, start + rng.randrange(700))
            n_dropped_by_writer += ring.write(stereo[start:end])
            start = end
            if rng.random() < 0.3:
                time.sleep(0)
        ring.close()

    writer = threading.Thread(target=write)
    writer.start()
    position = n_dropped = 0
    deadline = time.monotonic() + 60
    while position < n_total:
        assert time.monotonic() < deadline
        result = ring.read(0.5)
        n_dropped += result.dropped
        position += result.dropped
        np.testing.assert_array_equal(result.samples, stereo[position : position + len(result.samples)])
        position += len(result.samples)
    writer.join()
    assert position == n_total
    assert n_dropped == n_dropped_by_writer
    assert ring.read(0).samples.shape == (0, 2)


def test_write_copies() -> None:
    ring, samples = RingBuffer(4), np.ones(3, dtype=np.float32)
    ring.write(samples)
    samples[:] = 9
    first = ring.read(0).samples
    ring.write(samples)
    assert first.tolist() == [1, 1, 1]


def test_oldest_sample_says_how_long_it_waited() -> None:
    now_s = 10.0
    ring = RingBuffer(4, clock=lambda: now_s)
    ring.write(np.zeros(2, dtype=np.float32))
    now_s = 11.0
    ring.write(np.zeros(1, dtype=np.float32))
    now_s = 11.5
    assert ring.read(0).waited_s == 1.5
    ring.write(np.zeros(2, dtype=np.float32))
    now_s = 12.0
    ring.write(np.zeros(4, dtype=np.float32))
    now_s = 12.25
    result = ring.read(0)
    assert (result.dropped, result.waited_s) == (2, 0.25)


def test_read_waits_no_longer_than_its_timeout() -> None:
    start_s = time.monotonic()
    result = RingBuffer(4).read(0.05)
    assert len(result.samples) == result.dropped == 0
    assert 0.04 < time.monotonic() - start_s < 2


@pytest.mark.parametrize("how", ["write", "close"])
def test_waiting_reader_wakes_up(how: str) -> None:
    ring = RingBuffer(4)
    threading.Timer(
        0.05, ring.close if how == "close" else lambda: ring.write(np.ones(1, np.float32))
    ).start()
    start_s = time.monotonic()
    assert len(ring.read(30).samples) == (how == "write")
    assert time.monotonic() - start_s < 10


def test_closed_ring_can_be_read_to_its_end() -> None:
    ring = RingBuffer(4)
    ring.write(np.ones(3, dtype=np.float32))
    ring.close()
    assert len(ring.read(30).samples) == 3
    assert len(ring.read(30).samples) == 0


@pytest.mark.parametrize(("channels", "shape"), [(None, (3, 1)), (2, (3,)), (2, (3, 1)), (1, (3, 2))])
def test_other_shapes_are_refused(channels: int | None, shape: tuple[int, ...]) -> None:
    samples: FloatArray = np.zeros(shape, dtype=np.float32)
    with pytest.raises(ValueError, match="shape"):
        RingBuffer(4, channels).write(samples)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        RingBuffer(0)
    with pytest.raises(ValueError, match="channels is 0"):
        RingBuffer(1, 0)
