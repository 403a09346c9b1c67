from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import ProtocolError
from realtime.server.filters import KINDS, Filter, Published, Query, parse_query

NOW = datetime(2026, 11, 21, 10, 0, 0, 5, tzinfo=UTC)


def published(kind: str, stream: str | None = "a", probability: float = 1.0) -> Published:
    return Published(b"", NOW, kind, stream, probability)


def test_no_query_asks_for_everything_from_now_on() -> None:
    assert parse_query("", NOW) == Query(Filter(None, frozenset(KINDS), 0.0), None)


def test_a_whole_query() -> None:
    text = "stream=a&stream=b+c&types=prediction,status,hello&min_probability=0.5&since=600"
    assert parse_query(text, NOW) == Query(
        Filter(frozenset({"a", "b c"}), frozenset({"prediction", "status"}), 0.5),
        NOW - timedelta(seconds=600),
    )


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T10:00:00.000001Z", "2026-11-21T10:00:00.000001%2B00:00", "2026-11-21T11:00:00.000001+01:00"],
)
def test_since_a_date(text: str) -> None:
    assert parse_query(f"since={text}", NOW).since == datetime(2026, 11, 21, 10, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "strem=a",
        "token=x",
        "a",
        "&",
        "types=weather",
        "types=",
        "types=prediction&types=status",
        "min_probability=high",
        "min_probability=nan",
        "min_probability=-0.1",
        "min_probability=1.1",
        "since=-1",
        "since=inf",
        "since=1e300",
        "since=2026-11-21T10:00:00",
        "since=yesterday",
        "since=0001-01-01T00:00:00%2B23:00",
        "since=",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match=r"found .*; wanted"):
        parse_query(text, NOW)


def refusal_of(query: str) -> str:
    try:
        parse_query(query, NOW)
    except ProtocolError as error:
        return str(error)
    return ""


@given(
    st.text(), st.dictionaries(st.sampled_from(["stream", "types", "min_probability", "since"]), st.text())
)
def test_anything_is_understood_or_refused_in_one_short_line(text: str, pairs: dict[str, str]) -> None:
    for query in (text, urlencode(pairs, errors="replace")):
        refusal = refusal_of(query)
        assert len(refusal.splitlines()) <= 1
        assert len(refusal) < 300


def test_hello_and_errors_always_come() -> None:
    picky = Filter(frozenset({"x"}), frozenset(), 1.0)
    assert picky.wants(published("hello", None))
    assert picky.wants(published("error", None))
    assert not picky.wants(published("status", "x"))


def test_only_predictions_can_be_too_unlikely() -> None:
    likely = Filter(min_probability=0.5)
    assert likely.wants(published("prediction", probability=0.5))
    assert not likely.wants(published("prediction", probability=0.49))
    assert likely.wants(published("segment"))
    assert likely.wants(published("status"))
