from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import messages
from realtime.server.filters import Filter, Published
from realtime.server.subscribers import Subscriber, Subscribers, slow_subscriber


def data_of(number: int) -> bytes:
    return b"%d" % number


def published(
    data: bytes, stream: str = "one", kind: str = "prediction", probability: float = 1
) -> Published:
    return Published(data, datetime(2026, 1, 1, tzinfo=UTC), kind, stream, probability)


async def rest_of(subscriber: Subscriber) -> list[bytes]:
    subscriber.end()
    return [data async for data in subscriber]


def test_everyone_gets_the_same_object() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        one, other = subscribers.add(), subscribers.add()
        data = data_of(1)
        subscribers.publish(published(data))
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
        subscribers.publish(published(b"1"))
        assert await waiting == b"1"

    asyncio.run(check())


def test_the_slow_one_alone_loses_its_oldest_and_is_told_how_many() -> None:
    async def check() -> None:
        subscribers = Subscribers(n_queued=4)
        slow, fast = subscribers.add(), subscribers.add()
        for number in range(10):
            subscribers.publish(published(data_of(number)))
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
                subscribers.publish(published(data_of(n_published)))
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
        subscribers.publish(published(b"1"))
        assert len(subscribers) == 0
        assert await rest_of(subscriber) == []

    asyncio.run(check())


def test_the_end_comes_after_what_is_queued_and_for_latecomers_at_once() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        subscriber = subscribers.add()
        waiting = asyncio.ensure_future(anext(subscribers.add()))
        await asyncio.sleep(0)
        subscribers.publish(published(b"1"))
        subscribers.end()
        assert [data async for data in subscriber] == [b"1"]
        assert await waiting == b"1"
        assert [data async for data in subscribers.add()] == []

    asyncio.run(check())


def test_a_queue_holds_something() -> None:
    with pytest.raises(ValueError, match="found a queue of 0"):
        Subscribers(n_queued=0)


def test_everyone_gets_what_it_wants() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        everything = subscribers.add()
        one = subscribers.add(Filter(frozenset({"one"})))
        both = subscribers.add(Filter(frozenset({"one", "two"}), frozenset({"prediction"}), 0.5))
        subscribers.publish(published(b"a", "one"))
        subscribers.publish(published(b"b", "two"))
        subscribers.publish(published(b"c", "two", "status"))
        subscribers.publish(published(b"d", "two", probability=0.4))
        subscribers.publish(published(b"e", "three"))
        subscribers.publish(Published(b"f", datetime(2026, 1, 1, tzinfo=UTC), "hello"))
        assert await rest_of(everything) == [b"a", b"b", b"c", b"d", b"e", b"f"]
        assert await rest_of(one) == [b"a", b"f"]
        assert await rest_of(both) == [b"a", b"b", b"f"]
        for subscriber in (one, both):
            subscribers.remove(subscriber)
        assert not subscribers._by_stream

    asyncio.run(check())


def test_the_past_comes_first_and_makes_room_for_what_comes_meanwhile() -> None:
    async def check() -> None:
        subscribers = Subscribers(n_queued=2)
        late = subscribers.add(past=[data_of(number) for number in range(5)])
        for number in range(5, 7):
            assert subscribers.publish(published(data_of(number))) == 0
        for number in range(7):
            assert await anext(late) == data_of(number)
        # It has caught up: from now on it is one like the others.
        waiting = asyncio.ensure_future(anext(late))
        await asyncio.sleep(0)
        assert [subscribers.publish(published(data_of(number))) for number in range(3)] == [0, 0, 1]
        notice = messages.decode(await waiting)
        assert isinstance(notice, messages.Error)
        assert notice.dropped == 1

    asyncio.run(check())


def test_who_waits_may_be_sent_to_at_once_and_who_does_not_may_not() -> None:
    async def check() -> None:
        subscribers = Subscribers()
        waits, reads = subscribers.add(), subscribers.add()
        sent = list[Subscriber]()

        def send_now(subscriber: Subscriber) -> bool:
            sent.append(subscriber)
            return True

        waiting = asyncio.ensure_future(anext(waits))
        await asyncio.sleep(0)
        subscribers.publish(published(b"1"), send_now)
        assert sent == [waits]
        assert await rest_of(reads) == [b"1"]
        subscribers.publish(published(b"2"), lambda _: False)
        subscribers.publish(published(b"3"), send_now)
        assert sent == [waits]
        assert await waiting == b"2"
        assert await rest_of(waits) == [b"3"]

    asyncio.run(check())
