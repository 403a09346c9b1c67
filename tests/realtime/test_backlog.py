"""Audio that waits: whole frames, in order, bounded; live audio loses its oldest, a recording waits."""

from __future__ import annotations

import asyncio

from realtime.backlog import Backlog

FRAME = 2
RATE = 1000
BLOCK_S = 16.384
"""How long the longest block is, of 32,768 bytes."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def backlog(clock: Clock | None = None, length_s: float = 40.0, *, is_live: bool = True) -> Backlog:
    return Backlog(RATE, FRAME, length_s, is_live=is_live, clock=clock or Clock())


def seconds(length_s: float, value: int = 0) -> bytes:
    return bytes([value]) * (round(length_s * RATE) * FRAME)


async def taken(held: Backlog) -> list[bytes]:
    blocks = []
    while (block := await held.take()) is not None:
        blocks.append(block)
    return blocks


def test_frames_stay_whole_and_in_order_however_they_come() -> None:
    async def check() -> None:
        data = bytes(range(250)) * 400
        held = backlog(length_s=1000)
        begin = 0
        for n in (1, 2, 3, 50_001, 7, 49_986):
            await held.put(data[begin : begin + n])
            begin += n
        assert begin == len(data)
        held.end()
        blocks = await taken(held)
        assert b"".join(blocks) == data
        assert all(len(block) % FRAME == 0 and len(block) <= 32_768 for block in blocks)

    asyncio.run(check())


def test_what_is_left_of_a_frame_comes_last() -> None:
    async def check() -> None:
        held = backlog()
        await held.put(b"abc")
        held.end()
        assert await taken(held) == [b"ab", b"c"]

    asyncio.run(check())


def test_live_audio_that_is_too_much_loses_its_oldest_and_is_counted() -> None:
    async def check() -> None:
        clock = Clock()
        held = backlog(clock)
        calls = []
        held.when_overflowing = lambda: calls.append(held.seconds)
        for value in range(5):
            clock.now_s += 10
            await held.put(seconds(10, value))
        assert held.seconds == 40
        assert held.take_lost() == 10 * RATE
        assert held.take_lost() == 0
        assert len(calls) == 1
        held.end()
        assert b"".join(await taken(held)) == b"".join(seconds(10, value) for value in range(1, 5))

    asyncio.run(check())


def test_a_recording_waits_until_there_is_room() -> None:
    async def check() -> None:
        held = backlog(is_live=False)
        await held.put(seconds(32))
        more = asyncio.create_task(held.put(seconds(10, 1)))
        await asyncio.sleep(0)
        assert not more.done()
        assert len(await held.take() or b"") == round(BLOCK_S * RATE) * FRAME
        await more
        assert held.take_lost() == 0

    asyncio.run(check())


def test_what_claims_to_be_live_but_comes_faster_than_time_waits_as_well() -> None:
    async def check() -> None:
        held = backlog()
        waiting = asyncio.create_task(held.put(seconds(60)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        while not waiting.done():
            await held.take()
            await asyncio.sleep(0)
        assert held.take_lost() == 0

    asyncio.run(check())


def test_what_could_not_be_sent_comes_first_again() -> None:
    async def check() -> None:
        held = backlog()
        await held.put(b"aabb")
        await held.put(b"ccdd")
        block = await held.take()
        assert block == b"aabb"
        held.put_back(block)
        held.end()
        assert await taken(held) == [b"aabb", b"ccdd"]

    asyncio.run(check())


def test_who_waits_is_woken_by_the_end() -> None:
    async def check() -> None:
        held = backlog()
        waiting = asyncio.create_task(held.take())
        await asyncio.sleep(0)
        held.end()
        assert await waiting is None

    asyncio.run(check())
