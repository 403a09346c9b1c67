from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import messages
from realtime.server.subscribers import Subscriber, Subscribers, slow_subscriber


def data_of(number: int) -> bytes:
    return b"%d" % number


async def rest_of(subscriber: Subscriber) -> list[bytes]:
    subscriber.end()
    return [data async for data in subscriber]


def test_everyone_gets_the_same_object() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        one, other = subscribers.add(), subscribers.add()
        data = data_of(1)
        subscribers.publish(data)
        assert await anext(one) is data
        assert await anext(other) is data

    asyncio.run(check())


def test_waits_for_what_is_published_later() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        subscriber = subscribers.add()
        waiting = asyncio.ensure_future(anext(subscriber))
        await asyncio.sleep(0)
        assert not waiting.done()
        subscribers.publish(b"1")
        assert await waiting == b"1"

    asyncio.run(check())


def test_the_slow_one_alone_loses_its_oldest_and_is_told_how_many() -> None:
    async def check() -> None:
        subscribers = Subscribers(n_queued=4)
        slow, fast = subscribers.add(), subscribers.add()
        for number in range(10):
            subscribers.publish(data_of(number))
            assert await anext(fast) == data_of(number)
        notice = messages.decode(await anext(slow))
        assert notice == slow_subscriber(6)
        assert isinstance(notice, messages.Error)
        assert (notice.code, notice.fatal, notice.dropped) == ("slow_subscriber", False, 6)
        assert await rest_of(slow) == [data_of(number) for number in range(6, 10)]
        assert await rest_of(fast) == []

    asyncio.run(check())


@given(st.lists(st.integers(-3, 6), max_size=40), st.integers(1, 5))
def test_received_and_dropped_are_all_there_is_in_order(steps: list[int], n_queued: int) -> None:
    """Positive steps publish so many, negative ones receive so many."""

    async def check() -> None:
        subscribers = Subscribers(n_queued)
        subscriber = subscribers.add()
        n_published, received = 0, list[bytes]()
        for step in steps:
            for _ in range(step):
                subscribers.publish(data_of(n_published))
                n_published += 1
            for _ in range(-step):
                if subscriber._queue:
                    received.append(await anext(subscriber))
            assert len(subscriber._queue) <= n_queued
        received += await rest_of(subscriber)
        expected = 0
        for data in received:
            if data.isdigit():
                assert data == data_of(expected)
                expected += 1
            else:
                notice = messages.decode(data)
                assert isinstance(notice, messages.Error)
                expected += notice.dropped
        assert expected == n_published

    asyncio.run(check())


def test_who_is_removed_gets_nothing_more() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        subscriber = subscribers.add()
        subscribers.remove(subscriber)
        subscribers.remove(subscriber)
        subscribers.publish(b"1")
        assert len(subscribers) == 0
        assert await rest_of(subscriber) == []

    asyncio.run(check())


def test_the_end_comes_after_what_is_queued_and_for_latecomers_at_once() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        subscriber = subscribers.add()
        waiting = asyncio.ensure_future(anext(subscribers.add()))
        await asyncio.sleep(0)
        subscribers.publish(b"1")
        subscribers.end()
        assert [data async for data in subscriber] == [b"1"]
        assert await waiting == b"1"
        assert [data async for data in subscribers.add()] == []

    asyncio.run(check())


def test_a_queue_holds_something() -> None:
    with pytest.raises(ValueError, match="found a queue of 0"):
        Subscribers(n_queued=0)
