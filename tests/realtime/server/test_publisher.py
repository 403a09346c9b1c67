from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec

from realtime import messages
from realtime.server.filters import Query, parse_query
from realtime.server.limits import Limits
from realtime.server.publisher import Clock, Publisher
from realtime.server.streams import Streams
from realtime.types import Latency, Prediction, State, Status, Stream

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE = Stream("one", "tiny", ("neutral", "angry"), 22050, 66150, 11025, NOW)
STATUS = Status(ONE, State.LISTENING, "", 0, 0, -20.0, dropped=3)


@dataclass
class Counted:
    latencies: list[float] = field(default_factory=list)
    n_samples: int = 0
    n_messages: int = 0

    def prediction(self, latency_s: float) -> None:
        self.latencies.append(latency_s)

    def dropped_samples(self, n: int) -> None:
        self.n_samples += n

    def dropped_messages(self, n: int) -> None:
        self.n_messages += n


def prediction(seq: int) -> Prediction:
    return Prediction(
        ONE, seq, 0, 66150, "angry", 0.75, (0.5, 0.5), (0.25, 0.75), -23.4, 2, Latency(1.0, 2.0, 3.0)
    )


def publisher(counted: Counted | None = None, **limits: int) -> Publisher:
    streams = Streams([ONE], messages.hello([ONE]))
    return Publisher(streams, Limits(**limits), counted or Counted(), clock=Clock(lambda: NOW))


def test_dates_are_all_different_and_have_microseconds_even_if_the_clock_stands_still_or_goes_back() -> None:
    times = iter([NOW, NOW, NOW, NOW - timedelta(hours=1), NOW + timedelta(seconds=1), NOW])
    clock = Clock(lambda: next(times))
    dates = [clock.tick() for _ in range(5)]
    assert dates == sorted(set(dates))
    texts = [msgspec.json.encode(date).decode() for date in dates]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {29}
    assert clock.newest == dates[-1]


def test_greeting_and_what_follows_leave_no_gap_and_repeat_nothing() -> None:
    async def check() -> None:
        sender = publisher()
        sender.publish(STATUS)
        for seq in range(3):
            sender.publish(prediction(seq))
        greeting, subscriber = sender.greet(parse_query("since=600", NOW))
        sender.publish(prediction(3))
        sender.stop()
        hello, status = (messages.decode(data) for data in greeting)
        assert isinstance(hello, messages.Hello)
        assert hello.sent == NOW - timedelta(seconds=600)
        assert isinstance(status, messages.Status)
        assert (status.sent, status.dropped) == (None, 0)
        past = [messages.decode(data) async for data in subscriber]
        assert [m.seq for m in past if isinstance(m, messages.Prediction)] == [0, 1, 2, 3]
        dates = [m.sent for m in past if m.sent is not None]
        assert len(dates) == len(past) == 6
        assert dates == sorted(set(dates))
        assert isinstance(past[-1], messages.Status)
        assert past[-1].state is State.STOPPED

    asyncio.run(check())


def test_the_clock_is_told_to_newcomers_and_where_it_was_set_back() -> None:
    async def check() -> None:
        now = NOW
        streams = Streams([ONE], messages.hello([ONE]))
        sender = Publisher(streams, Limits(), Counted(), clock=Clock(lambda: now))

        def clock_of(data: bytes) -> datetime | None:
            return messages.decode(data).clock

        def greeted() -> datetime | None:
            greeting, subscriber = sender.greet(parse_query("since=600", now))
            subscriber.end()
            # What is told again beside it has no dates.
            assert [clock_of(data) for data in greeting[1:]] == [None] * (len(greeting) - 1)
            return clock_of(greeting[0])

        # As many at one moment as there may be: those are no sign of a clock that was set.
        assert {clock_of(sender.publish(prediction(seq))) for seq in range(999)} == {None}
        assert clock_of(sender.date(messages.hello([ONE]))) is None
        assert greeted() == NOW
        now = NOW - timedelta(hours=1)
        dates = list[datetime | None]()
        for seq in range(3):
            data = sender.publish(prediction(999 + seq))
            assert clock_of(data) == now
            dates.append(messages.decode(data).sent)
            assert clock_of(sender.publish(STATUS)) == now
            assert greeted() == now
        assert dates == sorted(dates)  # type: ignore[type-var]
        # Until it has caught up.
        now = NOW + timedelta(seconds=1)
        assert clock_of(sender.publish(prediction(1002))) is None

    asyncio.run(check())


def test_without_since_hello_says_where_to_come_back_to() -> None:
    async def check() -> None:
        sender = publisher()
        sender.publish(prediction(0))
        (data, *_), _ = sender.greet(Query())
        since = messages.decode(data).sent
        assert since is not None
        sender.publish(prediction(1))
        _, late = sender.greet(Query(since=since))
        message = messages.decode(await anext(late))
        assert isinstance(message, messages.Prediction)
        assert message.seq == 1

    asyncio.run(check())


def test_the_past_is_as_long_for_a_stream_that_predicts_more_often() -> None:
    async def check() -> None:
        now = NOW
        streams = Streams([ONE], messages.hello([ONE]))
        sender = Publisher(streams, Limits(), Counted(), clock=Clock(lambda: now))
        often = replace(ONE, name="often", hop=2205)
        sender.begin(often)
        for seq in range(6500):
            now = NOW + timedelta(seconds=0.1 * seq)
            sender.publish(replace(prediction(seq), stream=often))
        _, late = sender.greet(parse_query("since=600", now))
        late.end()
        past = [messages.decode(data) async for data in late]
        assert [m.seq for m in past if isinstance(m, messages.Prediction)] == list(range(500, 6500))

    asyncio.run(check())


def test_of_too_much_past_the_newest_comes() -> None:
    async def check() -> None:
        sender = publisher(n_replayed=2)
        for seq in range(5):
            sender.publish(prediction(seq))
        _, late = sender.greet(parse_query("since=600", NOW))
        late.end()
        past = [messages.decode(data) async for data in late]
        assert [m.seq for m in past if isinstance(m, messages.Prediction)] == [3, 4]

    asyncio.run(check())


def test_everyone_hears_of_streams_that_come_and_go() -> None:
    async def check() -> None:
        sender = publisher()
        greeting, subscriber = sender.greet(parse_query("types=prediction&stream=x", NOW))
        assert len(greeting) == 1
        sender.begin(replace(ONE, name="two"))
        sender.break_off("two", "it failed")
        subscriber.end()
        told = [messages.decode(data) async for data in subscriber]
        assert [m.streams for m in told if isinstance(m, messages.Hello)] == [("one", "two"), ("one",)]
        assert len(told) == 2

    asyncio.run(check())


def test_predictions_and_losses_are_counted() -> None:
    counted = Counted()
    sender = publisher(counted, n_queued=1)
    sender.greet(Query())
    sender.publish(STATUS)
    sender.publish(prediction(0))
    assert messages.decode(sender.encode(prediction(1))).sent is not None
    assert counted.latencies == [0.006, 0.006]
    assert (counted.n_samples, counted.n_messages) == (7, 1)
