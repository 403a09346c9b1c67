"""The wire schema, version 1: the only place where events become JSON.

A message is one JSON object, told apart by `type`. Readers ignore fields they do not know, so that a
server may add some; whatever would mislead an old reader gets a new `v`.

`hello` tells what is listened to, `to_message` turns an event into its message; `encode` and `decode`
cross the wire, `decode_client` on the side of the server. `json_schema` and `markdown_table` describe all
of it for people and programs.
"""

from realtime.messages.codec import decode, decode_client, encode, hello, to_message
from realtime.messages.documents import EVERY_MESSAGE, json_schema, markdown_table
from realtime.messages.structs import (
    AUDIO_PATH,
    DEFAULT_NAME,
    EVENTS_PATH,
    FORMATS,
    HIGHEST_RATE,
    LONGEST_NAME,
    LOWEST_RATE,
    MOST_CHANNELS,
    SUBPROTOCOL,
    VERSION,
    ClientMessage,
    Error,
    Hello,
    LatencyMs,
    Message,
    Prediction,
    Segment,
    Start,
    Status,
    Stop,
)

__all__ = [
    "AUDIO_PATH",
    "DEFAULT_NAME",
    "EVENTS_PATH",
    "EVERY_MESSAGE",
    "FORMATS",
    "HIGHEST_RATE",
    "LONGEST_NAME",
    "LOWEST_RATE",
    "MOST_CHANNELS",
    "SUBPROTOCOL",
    "VERSION",
    "ClientMessage",
    "Error",
    "Hello",
    "LatencyMs",
    "Message",
    "Prediction",
    "Segment",
    "Start",
    "Status",
    "Stop",
    "decode",
    "decode_client",
    "encode",
    "hello",
    "json_schema",
    "markdown_table",
    "to_message",
]
