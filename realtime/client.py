"""Subscribe to a Tonewatch server from a Python program.

::

    async for message in subscribe("ws://127.0.0.1:8765/events"):
        if isinstance(message, Prediction):
            print(message.label, message.probability)
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import msgspec

from realtime import connection, messages
from realtime.connection import OPEN_TIMEOUT_S, UnreachableError
from realtime.errors import SubscriptionError
from realtime.messages import EVENTS_PATH

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Sequence

Kind: TypeAlias = Literal["prediction", "segment", "status"]
_KINDS: Final = ("prediction", "segment", "status")
# A place is free when somebody leaves: who asks more often helps nobody, and costs the server a handshake.
_CROWDED_DELAY_S: Final = 5.0


async def subscribe(
    url: str,
    *,
    streams: Sequence[str] = (),
    types: Sequence[Kind] = (),
    min_probability: float | None = None,
    since: datetime | float | str | None = None,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
) -> AsyncGenerator[messages.Message, None]:
    """Yield what the server at `url` sends, `hello` first, for ever.

    When the connection is lost, or there is no server yet, it tries again: after half a second at the
    most, then less and less often, every half minute in the end, each time a little earlier or later
    at random so that many subscribers do not come back at once. A loss is itself a message, an `error`
    with the code `disconnected`, so that nobody mistakes it for silence; the next one is `hello` again,
    with the newest `status` of each stream. What was sent meanwhile follows, once and in order, as far as
    the server's history goes. A server that has no room for one more says so in an `error` with the code
    `at_capacity`, which comes once too, and before `disconnected`; it is asked again after a longer while.

    Parameters
    ----------
    url
        As in `ws://127.0.0.1:8765/events`; the address of the server's page will do.
    streams
        Names of the streams wanted, which need not be there yet; all by default.
    types
        Types of messages wanted; all by default. `hello` and `error` always come.
    min_probability
        Predictions below this are left out, 0 to 1.
    since
        What was sent before as well: so many of the last seconds, or everything after a date, which may be
        a message's `sent` as JSON has it.
    token
        The server's token, if it has one.
    tls
        How a `wss` server is trusted; as the system does by default.
    open_timeout_s
        How long one attempt to connect may take, in seconds.

    Yields
    ------
    Message
        In the order sent.

    Raises
    ------
    SubscriptionError
        The address or a filter is wrong, the server refuses, or what it sends is not understood: trying
        again would not help.
    """
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - slow to import

    url = endpoint_with(url, _query(streams, types, min_probability))
    place = Place(since)
    retries = _Retries(url)
    while True:
        try:
            server = await connection.connect(
                endpoint_with(url, place.query()), token=token, tls=tls, open_timeout_s=open_timeout_s
            )
        except UnreachableError as error:
            loss = retries.lose(str(error))
        else:
            try:
                while True:
                    message = retries.heed(messages.decode(await server.recv()))
                    if message is not None:
                        place.note(message)
                        yield message
            except ConnectionClosed:
                pass
            finally:
                # On cancellation and `aclose` too: the server should not find out by a timeout.
                await server.close()
            loss = retries.lose()
        if loss is not None:
            yield loss
        # Also after a connection that worked: a server that closes each one at once is not besieged.
        await asyncio.sleep(next(retries.delays))


class _Retries:
    """When to try again, and what is told of a loss: each thing once, until a server says `hello`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._begin()

    def _begin(self) -> None:
        self.delays = connection.delays()
        self._is_known_lost = False
        self._refusal: messages.Error | None = None

    def heed(self, message: messages.Message) -> messages.Message | None:
        """Take in a message that came; return what to tell of it."""
        if isinstance(message, messages.Hello):
            # Nothing else says that the subscription was taken.
            self._begin()
        elif isinstance(message, messages.Error) and message.fatal:
            is_new = self._refusal is None or self._refusal.code != message.code
            self._refusal = message
            if not is_new:
                return None
            if message.code == "at_capacity":
                self.delays = connection.delays(_CROWDED_DELAY_S)
            # The connection ends, the subscription does not. Its date is left out: what was sent before that
            # has not come yet.
            return msgspec.structs.replace(message, fatal=False, sent=None)
        return message

    def lose(self, reason: str = "") -> messages.Error | None:
        """Return what to tell of a connection that is lost, or that did not come about."""
        if self._is_known_lost:
            return None
        self._is_known_lost = True
        refusal = "the connection is lost" if self._refusal is None else self._refusal.message
        return disconnected(self._url, reason or refusal)


class Place:
    """Where a subscription has come, so that it goes on from there.

    Parameters
    ----------
    since
        What was asked for in the beginning: so many seconds, a date, or nothing.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self, since: datetime | float | str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if isinstance(since, str):
            try:
                since = datetime.fromisoformat(since)
            except ValueError:
                raise SubscriptionError(
                    f"since is {since!r}; wanted a date, such as a message's `sent`, or a number of seconds"
                ) from None
        if isinstance(since, datetime):
            if since.tzinfo is None:
                raise SubscriptionError(
                    f"since is {since.isoformat()}, a date without a time zone; wanted one with, as in "
                    "datetime.now(UTC)"
                )
        elif since is not None and not (math.isfinite(since) and since >= 0):
            raise SubscriptionError(f"since is {since}; wanted a date, or a number of seconds from 0 up")
        self._since = since
        self._clock = clock
        self._began_s: float | None = None

    def note(self, message: messages.Message) -> None:
        """Take in a message that came."""
        if self._began_s is None and not isinstance(message, messages.Error):
            self._began_s = self._clock()
        if message.sent is not None:
            # Not the latest of them all: a server's clock that was set back must not stop it for good.
            self._since = message.sent

    def query(self) -> list[tuple[str, str]]:
        """Return what to ask the server for, so that nothing is missing and nothing comes twice."""
        since = self._since
        if isinstance(since, datetime):
            return [("since", since.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z")]
        if self._began_s is not None:
            # From a server that dates nothing: what came since the beginning.
            since = (since or 0.0) + self._clock() - self._began_s
        return [] if since is None else [("since", f"{since:.3f}")]


def disconnected(url: str, reason: str, dropped: int = 0) -> messages.Error:
    """Return the message that tells of a loss."""
    return messages.Error(
        code="disconnected",
        message=f"{url.partition('?')[0]}: {reason}: trying again",
        fatal=False,
        dropped=dropped,
    )


def endpoint_with(url: str, query: Sequence[tuple[str, str]]) -> str:
    """Return the address of a server's events, with a longer query."""
    parts = urlsplit(connection.endpoint(url, EVENTS_PATH))
    twice = {"since", "types", "min_probability"} & parse_qs(parts.query).keys() & dict(query).keys()
    if twice:
        raise SubscriptionError(f"{url}: found {twice.pop()} in the address; wanted it beside the address")
    more = [part for part in (parts.query, urlencode(query)) if part]
    return urlunsplit(parts._replace(query="&".join(more)))


def _query(
    streams: Sequence[str], types: Sequence[str], min_probability: float | None
) -> list[tuple[str, str]]:
    """Return the filters as a query; refuses here what the server would refuse."""
    for name, value in (("streams", streams), ("types", types)):
        if isinstance(value, str):
            raise SubscriptionError(f"{name} is the text {value!r}; wanted a list, as in [{value!r}]")
    unknown = [kind for kind in types if kind not in _KINDS]
    if unknown:
        raise SubscriptionError(f"types has {unknown[0]!r}; wanted some of {', '.join(_KINDS)}")
    query = [("stream", stream) for stream in streams]
    if types:
        query.append(("types", ",".join(types)))
    if min_probability is not None:
        if not 0 <= min_probability <= 1:
            raise SubscriptionError(f"min_probability is {min_probability}; wanted a number from 0 to 1")
        query.append(("min_probability", f"{min_probability}"))
    return query
