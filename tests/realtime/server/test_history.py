from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from realtime.server.filters import Filter, Published
from realtime.server.history import History
from realtime.server.limits import Limits

START = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = START - timedelta(days=1)


def published(at_s: float, stream: str | None = "a", kind: str = "prediction") -> Published:
    return Published(b"%d" % at_s, START + timedelta(seconds=at_s), kind, stream)


def remembering(length_s: float, n_per_stream: int, n_total: int) -> History:
    """Return a history of streams whose one hop is as long as the history."""
    return History(length_s, n_per_stream, n_total, lambda _: length_s)


def times_of(found: list[Published]) -> list[float]:
    return [(message.sent - START).total_seconds() for message in found]


def test_what_is_newer_comes_in_order_over_all_streams() -> None:
    history = remembering(600, 100, 1000)
    for at_s in range(9):
        history.add(published(at_s, "abc"[at_s % 3]))
    assert times_of(history.since(START + timedelta(seconds=4), Filter())) == [5, 6, 7, 8]
    assert times_of(history.since(LONG_AGO, Filter(frozenset("ac")))) == [0, 2, 3, 5, 6, 8]
    assert history.since(LONG_AGO, Filter(frozenset("x"))) == []


def test_what_is_not_wanted_does_not_come_and_what_has_no_stream_is_not_kept() -> None:
    history = remembering(600, 100, 1000)
    history.add(published(0, kind="status"))
    history.add(published(1, None, "hello"))
    history.add(published(2))
    assert times_of(history.since(LONG_AGO, Filter(kinds=frozenset({"status"})))) == [0]
    assert len(history) == 2


def test_it_is_bounded_in_time_also_for_streams_that_ended() -> None:
    history = remembering(10, 100, 1000)
    history.add(published(0, "ended"))
    history.add(published(1))
    history.add(published(11))
    assert times_of(history.since(LONG_AGO, Filter())) == [1, 11]
    history.add(published(100))
    assert times_of(history.since(LONG_AGO, Filter())) == [100]
    assert list(history._streams) == ["a"]


def test_a_busy_stream_does_not_push_out_a_quiet_one() -> None:
    history = remembering(600, 5, 8)
    history.add(published(0, "quiet"))
    for at_s in range(1, 100):
        history.add(published(at_s, "busy" if at_s % 2 else "busier"))
    assert times_of(history.since(LONG_AGO, Filter(frozenset({"quiet"})))) == [0]
    assert len(history) == 8


def test_of_streams_that_are_heard_now_the_time_is_kept_whatever_their_hop() -> None:
    limits = Limits()
    hops_s = {"often": 0.1, "seldom": 0.5}
    history = History(limits.history_s, limits.n_history_per_hop, limits.n_history_total, hops_s.__getitem__)
    n_hops = round(700 / 0.1)
    for hop in range(n_hops):
        for name, hop_s in hops_s.items():
            if hop % round(hop_s / 0.1) == 0:
                history.add(published(hop * 0.1, name))
                history.add(published(hop * 0.1, name, "status"))
    for name in hops_s:
        times = times_of(history.since(LONG_AGO, Filter(frozenset({name}))))
        assert 599 < times[-1] - times[0] <= 600
    # One that is told faster than it was spoken leaves as many.
    for number in range(10_000):
        history.add(published(700 + number / 1000, "seldom"))
    assert len(history.since(LONG_AGO, Filter(frozenset({"seldom"})))) == 3 * 1200


@given(st.lists(st.tuples(st.floats(0.001, 5), st.sampled_from("abc")), max_size=60), st.integers(1, 10))
def test_no_bound_is_ever_passed(steps: list[tuple[float, str]], n: int) -> None:
    history, at_s = remembering(20, n, 2 * n), 0.0
    for step_s, stream in steps:
        at_s += step_s
        history.add(published(at_s, stream))
        found = history.since(LONG_AGO, Filter())
        assert len(found) == len(history) <= 2 * n
        assert all(sum(one.stream == name for one in found) <= n for name in "abc")
        times = times_of(found)
        assert times == sorted(times)
        assert times[-1] - times[0] <= 20
