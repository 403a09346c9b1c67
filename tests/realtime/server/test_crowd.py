from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from realtime.server.crowd import RUSH, Crowd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GRACE_S = 0.2
DEADLINE_S = 20.0


def run(check: Callable[[Crowd[int], list[int]], Awaitable[None]], n: int = 3) -> None:
    async def begin() -> None:
        gone = list[int]()
        await check(Crowd(n, gone.append, grace_s=GRACE_S), gone)

    asyncio.run(begin())


async def wait_for(gone: list[int], n: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while len(gone) < n:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


def test_as_many_as_may_take_their_time_are_left_alone() -> None:
    async def check(crowd: Crowd[int], gone: list[int]) -> None:
        for one in range(3):
            crowd.add(one)
        await asyncio.sleep(2 * GRACE_S)
        assert list(crowd) == [0, 1, 2]
        assert not gone

    run(check)


def test_of_more_the_oldest_go_after_a_while_and_no_more_than_have_to() -> None:
    async def check(crowd: Crowd[int], gone: list[int]) -> None:
        began_s = asyncio.get_running_loop().time()
        for one in range(5):
            crowd.add(one)
        await asyncio.sleep(0)
        assert not gone
        await wait_for(gone, 2)
        assert asyncio.get_running_loop().time() - began_s >= GRACE_S
        await asyncio.sleep(2 * GRACE_S)
        assert gone == [0, 1]
        assert list(crowd) == [2, 3, 4]
        # And again, for those who come later.
        crowd.add(5)
        await wait_for(gone, 3)
        assert gone == [0, 1, 2]

    run(check)


def test_of_far_too_many_the_oldest_go_at_once() -> None:
    async def check(crowd: Crowd[int], gone: list[int]) -> None:
        for one in range(3 * RUSH + 2):
            crowd.add(one)
            assert len(crowd) <= 3 * RUSH
        assert gone == [0, 1]
        assert 0 not in crowd
        assert 2 in crowd

    run(check)


def test_those_who_go_by_themselves_keep_nobody_out() -> None:
    async def check(crowd: Crowd[int], gone: list[int]) -> None:
        for one in range(6):
            crowd.add(one)
        for one in (1, 3, 5, 99):
            crowd.discard(one)
        await asyncio.sleep(2 * GRACE_S)
        assert not gone
        assert len(crowd) == 3
        for one in (0, 2, 4):
            crowd.discard(one)
        await asyncio.sleep(2 * GRACE_S)
        assert not gone

    run(check)


def test_where_the_loop_is_late_what_came_is_read_first() -> None:
    async def check(crowd: Crowd[int], gone: list[int]) -> None:
        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            crowd.discard(int(await reader.readline()))
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
            with contextlib.ExitStack() as stack:
                for one in range(10):
                    crowd.add(one)
                    port = server.sockets[0].getsockname()[1]
                    peer = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    peer.sendall(f"{one}\n".encode())
                # Nobody is even let in before all of them have taken too long.
                time.sleep(1.5 * GRACE_S)  # noqa: ASYNC251 - that is what is meant
                await asyncio.sleep(GRACE_S)
                assert not gone
                assert not len(crowd)

    run(check)
