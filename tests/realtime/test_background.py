"""Asynchronous generators, iterated over in a thread: order, errors, and an end in order."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from realtime.background import Background
from realtime.errors import SubscriptionError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def test_items_come_in_order_and_then_the_end() -> None:
    async def count() -> AsyncGenerator[int, None]:
        for n in range(1, 2000):
            yield n

    background = Background(count())
    assert list(background) == list(range(1, 2000))
    assert background.has_ended
    assert background.take() is None
    background.close()


def test_errors_are_raised_where_items_are_taken() -> None:
    async def fail() -> AsyncGenerator[int, None]:
        yield 1
        raise SubscriptionError("no")

    background = Background(fail())
    assert background.take() == 1
    with pytest.raises(SubscriptionError, match="no"):
        background.take()
    assert background.take() is None


def test_closing_ends_the_generator_in_order() -> None:
    is_ended = threading.Event()

    async def wait() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            is_ended.set()

    background = Background(wait())
    assert background.take() == 1
    assert background.take(0.01) is None
    assert not background.has_ended
    background.close()
    background.close()
    assert is_ended.is_set()
    assert background.take() is None
