"""Subscribe to a Tonewatch server from a Python program.

::

    async for message in subscribe("ws://127.0.0.1:8765/events"):
        if isinstance(message, Prediction):
            print(message.label, message.probability)
"""

from __future__ import annotations

import asyncio
import random
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from realtime import messages
from realtime.errors import SubscriptionError
from realtime.messages import EVENTS_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from websockets.asyncio.client import ClientConnection

_FIRST_DELAY_S: Final = 0.5
_LAST_DELAY_S: Final = 30.0
_DELAY_FACTOR: Final = 1.6
_CLOSE_TIMEOUT_S: Final = 1.0


async def subscribe(url: str, *, open_timeout_s: float = 10.0) -> AsyncGenerator[messages.Message, None]:
    """Yield what the server at `url` sends, `hello` first, for ever.

    When the connection is lost, or there is no server yet, it tries again: after half a second at the
    most, then less and less often, every half minute in the end, each time a little earlier or later
    at random so that many subscribers do not come back at once. A loss is itself a message, an `error`
    with the code `disconnected`, so that nobody mistakes it for silence; the next one is `hello` again.

    Parameters
    ----------
    url
        As in `ws://127.0.0.1:8765/events`.
    open_timeout_s
        How long one attempt to connect may take, in seconds.

    Yields
    ------
    Message
        In the order sent.

    Raises
    ------
    SubscriptionError
        The address is wrong, the server refuses, or what it sends is not understood: trying again
        would not help.
    """
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - slow to import

    delays = _delays()
    while True:
        connection = await _connect(url, open_timeout_s)
        if connection is not None:
            try:
                while True:
                    message = messages.decode(await connection.recv())
                    delays = _delays()
                    yield message
            except ConnectionClosed:
                pass
            finally:
                # On cancellation and `aclose` too: the server should not find out by a timeout.
                await connection.close()
            yield messages.Error(
                code="disconnected",
                message=f"the connection to {url} is lost: trying again",
                fatal=False,
                dropped=0,
            )
        # Also after a connection that worked: a server that closes each one at once is not besieged.
        await asyncio.sleep(next(delays))


async def _connect(url: str, open_timeout_s: float) -> ClientConnection | None:
    """Return a connection, or None where there is none now but may be one later.

    websockets' own loop, `async for connection in connect(...)`, is not used since it waits 3 s at the
    least and goes on at once, for ever, with a server that accepts and then closes.
    """
    from websockets.asyncio.client import connect  # noqa: PLC0415 - slow to import
    from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI  # noqa: PLC0415

    try:
        # A server on this machine or this network is not to be found behind a proxy for the web.
        return await connect(
            url, open_timeout=open_timeout_s, close_timeout=_CLOSE_TIMEOUT_S, compression=None, proxy=None
        )
    except (InvalidURI, ValueError) as error:
        raise SubscriptionError(
            f"found the address {url!r} ({error}); wanted one like ws://127.0.0.1:8765{EVENTS_PATH}"
        ) from error
    except InvalidStatus as error:
        status = error.response.status_code
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        raise SubscriptionError(
            f"{url}: found HTTP status {status}; wanted a subscription: is it ws://HOST:PORT{EVENTS_PATH}?"
        ) from error
    except InvalidMessage as error:
        if isinstance(error.__cause__, EOFError):
            return None
        raise SubscriptionError(f"{url}: found no web server ({error}); wanted a Tonewatch server") from error
    except InvalidHandshake as error:
        raise SubscriptionError(f"{url}: found no WebSocket ({error}); wanted a Tonewatch server") from error
    except OSError:
        return None


def _delays() -> Iterator[float]:
    """Yield how long to wait before each attempt, in seconds."""
    delay_s = _FIRST_DELAY_S
    while True:
        yield delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        delay_s = min(delay_s * _DELAY_FACTOR, _LAST_DELAY_S)
