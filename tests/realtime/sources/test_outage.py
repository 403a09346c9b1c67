from __future__ import annotations

from realtime.sources.outage import Outage


def test_what_does_not_come_is_counted_once() -> None:
    outage = Outage(16_000)
    went_on = [outage.goes_on]
    assert outage.count(5.0) == outage.end(6.0) == 0
    outage.begin(10.0)
    went_on.append(outage.goes_on)
    # It goes on: this is no other one.
    outage.begin(11.0)
    assert [outage.count(until_s) for until_s in (12.0, 12.0, 11.5, 12.5)] == [32_000, 0, 0, 8_000]
    assert outage.end(13.0) == 8_000
    went_on.append(outage.goes_on)
    assert went_on == [False, True, False]
    assert outage.count(20.0) == 0


def test_parts_of_samples_add_up() -> None:
    outage = Outage(3)
    outage.begin(0.0)
    found = [outage.count(step / 8) for step in range(81)]
    assert sum(found) == 30
    # None is counted before it would have come.
    assert found[:9] == [0, 0, 0, 1, 0, 0, 1, 0, 1]


def test_what_came_just_now_was_not_lost() -> None:
    outage = Outage(16_000)
    outage.begin(10.0)
    assert outage.end(9.0) == 0
    assert not outage.goes_on


def test_whether_any_was_counted_is_known_of_the_present_one() -> None:
    outage, found = Outage(16_000), []
    for _ in range(2):
        found.append(outage.is_counted)
        outage.begin(10.0)
        outage.count(10.0)
        found.append(outage.is_counted)
        outage.count(11.0)
        found.append(outage.is_counted)
        outage.end(11.0)
    assert found == [False, False, True] * 2
