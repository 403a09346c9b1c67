"""Servers, here and elsewhere, as settings describe them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from realtime import config
from realtime.commands.options import report
from realtime.server.access import Access, check_token, read_token, server_tls
from realtime.server.limits import Limits
from realtime.server.server import EventServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime.config import Settings
    from realtime.recognizer import Model
    from realtime.types import Stream


def start_server(settings: Settings, model: Model, streams: Sequence[Stream] = ()) -> EventServer:
    """Return the server that settings ask for, started; where it is is told on standard error.

    Parameters
    ----------
    settings
        Of which `serve` is given.
    model
        What judges the audio that others send; several threads may ask it.
    streams
        Streams of this process.

    Raises
    ------
    SettingsError
        Nobody said who may use it, or its token or certificate cannot be used.
    AddressError
        The address cannot be served on.
    """
    assert settings.serve is not None
    host, port = config.parse_address(settings.serve)
    tls = None
    if settings.cert is not None and settings.key is not None:
        tls = server_tls(settings.cert, settings.key)
    server = EventServer(
        host,
        port,
        streams,
        model=model,
        limits=Limits(n_senders=settings.capacity),
        access=Access(token=token_of(settings), origins=settings.origin, insecure=settings.insecure),
        tls=tls,
    )
    server.start()
    report(f"serves {server.url}; open {server.page_url}")
    return server


def token_of(settings: Settings) -> str | None:
    """Return the token, where there is one.

    Raises
    ------
    SettingsError
        It is too short, or its file cannot be read.
    """
    if settings.token_file is not None:
        return read_token(Path(settings.token_file))
    if settings.token is not None:
        check_token(settings.token, "the token")
    return settings.token
