"""The AsyncAPI document: channels, messages and how to be let in, for people and for generators.

References
----------
AsyncAPI Specification 3.0.0, https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, get_args

from realtime import messages
from realtime.messages import AUDIO_PATH, EVENTS_PATH
from realtime.server.access import TOKEN_PROTOCOL
from realtime.server.filters import KINDS
from realtime.types import State

if TYPE_CHECKING:
    import msgspec

SAMPLES: Final = "samples"
"""Name of the binary message; all others are named by their `type`."""

_NOW: Final = datetime(2026, 3, 4, 5, 6, 11, 250_000, tzinfo=UTC)
_LABELS: Final = ("neutral", "happy", "sad", "angry")
_SMOOTHED: Final = dict(zip(_LABELS, (0.06, 0.04, 0.02, 0.88), strict=True))

EXAMPLES: Final[tuple[messages.Message | messages.ClientMessage, ...]] = (
    messages.Hello(
        sent=_NOW,
        model="cnn-lstm",
        labels=_LABELS,
        sample_rate=16_000,
        window_s=3.0,
        hop_s=0.5,
        streams=("microphone",),
        server="1.0.0",
        max_message_bytes=262_144,
        formats=messages.FORMATS,
        history_s=600.0,
    ),
    messages.Prediction(
        sent=_NOW + timedelta(milliseconds=30),
        stream="microphone",
        seq=7,
        start_s=3.5,
        end_s=6.5,
        voice_start_s=3.9,
        voice_end_s=6.5,
        time=_NOW,
        label="angry",
        probability=0.88,
        probabilities=dict(zip(_LABELS, (0.04, 0.03, 0.01, 0.92), strict=True)),
        smoothed=_SMOOTHED,
        level_dbfs=-23.46,
        dropped=0,
        latency_ms=messages.LatencyMs(queue=3.1, features=2.4, inference=1.2),
    ),
    messages.Segment(
        sent=_NOW + timedelta(milliseconds=31),
        stream="microphone",
        label="angry",
        start_s=3.5,
        end_s=None,
        probability=0.88,
    ),
    messages.Status(
        sent=_NOW + timedelta(milliseconds=32),
        stream="microphone",
        state=State.SILENT,
        detail="no voice",
        since_s=7.0,
        at_s=7.0,
        time=_NOW + timedelta(seconds=0.5),
        level_dbfs=-64.2,
        dropped=0,
    ),
    messages.Error(
        code="slow_subscriber",
        message="3 messages were dropped here: read faster than they come",
        fatal=False,
        dropped=3,
    ),
    messages.Start(sample_rate=48_000, channels=1, format="s16le", name="kitchen"),
    messages.Stop(),
)
"""One message of each type, as it may come over the wire."""

_EVENTS_TEXT: Final = (
    "What is heard, as it is heard. `hello` comes first and the newest `status` of each stream next; "
    "then, with `since`, what was sent before. A subscriber that is slow loses its own oldest messages, "
    "and is told by an `error`. Nothing needs to be sent; what is sent is not listened to."
)
_AUDIO_TEXT: Final = (
    "Audio to be listened to: one `start`, then samples in binary messages, then `stop`. The answer to "
    "`start` is `hello` with the stream's name, then its events follow on the same connection. After "
    "`stop` the last ones come, a `status` with the state `stopped`, and the end with close code 1000. A "
    "connection that is lost without `stop` is waited for: `start` with the same name goes on with the "
    "same stream."
)
_SAMPLES_TEXT: Final = (
    "Interleaved samples in the format of `start`, any number of bytes up to `max_message_bytes` of "
    "`hello`; a frame may be split over two messages."
)


def asyncapi(host: str, *, is_tls: bool = False) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of a server.

    Parameters
    ----------
    host
        Its name and port, as in `localhost:8765`.
    is_tls
        Whether it speaks TLS.
    """
    from_server = [_tag(struct) for struct in get_args(messages.Message)]
    from_sender = [_tag(messages.Start), SAMPLES, _tag(messages.Stop)]
    events = {"$ref": "#/channels/events"}
    audio = {"$ref": "#/channels/audio"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tonewatch",
            "version": f"{messages.VERSION}.0.0",
            "description": "Which emotion a live voice carries. Each message is one JSON object, told apart "
            "by `type`; fields that a reader does not know are to be ignored.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "tonewatch": {
                "host": host,
                "protocol": "wss" if is_tls else "ws",
                "description": "One of the ways to be let in is enough, and none is needed where the server "
                f"was started without a token. Clients may offer the subprotocol `{messages.SUBPROTOCOL}`.",
                "security": [
                    {"$ref": f"#/components/securitySchemes/{name}"} for name in _security_schemes()
                ],
            }
        },
        "channels": {
            "events": {
                "address": EVENTS_PATH,
                "title": "Events",
                "description": _EVENTS_TEXT,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in from_server},
                "bindings": {"ws": {"method": "GET", "query": _query(), "bindingVersion": "0.1.0"}},
            },
            "audio": {
                "address": AUDIO_PATH,
                "title": "Audio",
                "description": _AUDIO_TEXT,
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in (*from_sender, *from_server)
                },
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            },
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": events,
                "summary": "Tell subscribers what is heard.",
                "messages": _of_channel("events", from_server),
            },
            "listen": {
                "action": "receive",
                "channel": audio,
                "summary": "Listen to a sender, and tell it what is heard.",
                "messages": _of_channel("audio", from_sender),
                "reply": {"channel": audio, "messages": _of_channel("audio", from_server)},
            },
        },
        "components": {
            "schemas": _schemas(),
            "messages": _messages(),
            "securitySchemes": _security_schemes(),
        },
    }


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _of_channel(channel: str, names: list[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]


@functools.cache
def _schemas() -> dict[str, Any]:
    """Return the schema of each message, as they refer to each other in this document; not to be changed."""
    # Kept, since making them takes a tenth of a second, which those who ask must not cost the others.
    text = json.dumps(messages.json_schema()["$defs"]).replace('"#/$defs/', '"#/components/schemas/')
    schemas: dict[str, Any] = json.loads(text)
    return schemas


@functools.cache
def _messages() -> dict[str, Any]:
    schemas = _schemas()
    described: dict[str, Any] = {
        SAMPLES: {
            "name": SAMPLES,
            "title": "samples",
            "summary": _SAMPLES_TEXT,
            "contentType": "application/octet-stream",
            "payload": {"type": "string", "format": "binary"},
        }
    }
    for example in EXAMPLES:
        struct = type(example)
        described[_tag(struct)] = {
            "name": _tag(struct),
            "title": struct.__name__,
            "summary": schemas[struct.__name__]["description"],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{struct.__name__}"},
            "examples": [{"payload": json.loads(messages.encode(example))}],
        }
    return described


def _query() -> dict[str, Any]:
    """Return the schema of what may stand in the query of `/events`."""
    return {
        "type": "object",
        "properties": {
            "stream": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Only these streams: `stream=a&stream=b`. They need not be there yet.",
            },
            "types": {
                "type": "string",
                "description": f"Only these types, joined by commas: {', '.join(KINDS)}. `hello` and `error` "
                "always come.",
            },
            "min_probability": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "Only predictions of this probability or more.",
            },
            "since": {
                "type": "string",
                "description": "First what was sent after this date (`sent` of the newest message at hand), "
                "or in the last so many seconds.",
            },
        },
        "additionalProperties": False,
    }


def _security_schemes() -> dict[str, Any]:
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer TOKEN`, for programs.",
        },
        "subprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": f"`{messages.SUBPROTOCOL}, {TOKEN_PROTOCOL}BASE64URL`: the token in base64url "
            "without padding, for browsers, which can send no other header.",
        },
    }
