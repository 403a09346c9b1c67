"""Events to messages, messages to JSON and back."""

import functools
import math
from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from realtime import types
from realtime.affect import affect
from realtime.errors import ProtocolError, SubscriptionError
from realtime.messages.structs import (
    DEFAULT_NAME,
    FORMATS,
    HIGHEST_RATE,
    LONGEST_NAME,
    LOWEST_RATE,
    MOST_CHANNELS,
    VERSION,
    ClientMessage,
    Hello,
    LatencyMs,
    Message,
    Prediction,
    Segment,
    Start,
    Status,
)
from realtime.types import SILENCE_DBFS


class _Envelope(msgspec.Struct):
    """What says whether the rest can be read: found out first, for the sake of a clear error."""

    v: int
    type: str


_envelope: Final = msgspec.json.Decoder(_Envelope)
_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)
_client_decoder: Final[msgspec.json.Decoder[ClientMessage]] = msgspec.json.Decoder(ClientMessage)
_encoder: Final = msgspec.json.Encoder()


def hello(streams: Sequence[types.Stream]) -> Hello:
    """Return the message that introduces `streams`.

    Raises
    ------
    ValueError
        There are none, or they are not all listened to by one model.
    """
    if not streams:
        raise ValueError("found no stream; wanted at least one")
    first = streams[0]
    models = {(stream.model, stream.labels, stream.sample_rate) for stream in streams}
    if len(models) != 1:
        raise ValueError(f"found streams of {len(models)} models; wanted one model for all")
    return Hello(
        model=first.model,
        labels=first.labels,
        sample_rate=first.sample_rate,
        window_s=_seconds(first.seconds(first.window)),
        hop_s=_seconds(first.seconds(first.hop)),
        streams=tuple(stream.name for stream in streams),
        server=_server_version(),
    )


def to_message(event: types.Event) -> Message:
    """Return the message that carries `event`.

    Seconds are rounded to microseconds, probabilities to 6 digits, levels to hundredths of a dB.

    Raises
    ------
    ValueError
        A probability or a latency is not a finite number.
    """
    match event:
        case types.Prediction():
            return _prediction(event)
        case types.Segment(stream=stream):
            return Segment(
                stream=stream.name,
                label=event.label,
                start_s=_seconds(stream.seconds(event.start)),
                end_s=_seconds_of(stream, event.end),
                probability=_rounded(event.probability, 6),
            )
        case types.Status(stream=stream):
            return Status(
                stream=stream.name,
                state=event.state,
                detail=event.detail,
                since_s=_seconds(stream.seconds(event.since)),
                at_s=_seconds(stream.seconds(event.at)),
                time=stream.date(event.at),
                level_dbfs=None if event.level_dbfs is None else _level(event.level_dbfs),
                dropped=int(event.dropped),
            )
    assert_never(event)


def encode(message: Message | ClientMessage) -> bytes:
    """Return `message` as one JSON object in UTF-8, without a line break."""
    return _encoder.encode(message)


def decode(data: str | bytes) -> Message:
    """Return the message that `data` holds; fields that the schema does not know are ignored.

    Raises
    ------
    SubscriptionError
        It is not JSON, not a message, or one of another version of the schema.
    """
    try:
        envelope = _envelope.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise SubscriptionError(
            f"found {_excerpt(data)}; wanted a Tonewatch message, a JSON object with `v` and `type` "
            f"({error}): is this the address of a Tonewatch server?"
        ) from error
    if envelope.v != VERSION:
        advice = "update Tonewatch here" if envelope.v > VERSION else "update the server"
        raise SubscriptionError(f"found a message of schema version {envelope.v}; wanted {VERSION}: {advice}")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise SubscriptionError(
            f"found a message of type {envelope.type!r} that version {VERSION} of the schema does not know "
            f"({error}): update Tonewatch on both sides"
        ) from error


def decode_client(data: str | bytes) -> ClientMessage:
    """Return the message of a sender that `data` holds; fields that the schema does not know are ignored.

    Raises
    ------
    ProtocolError
        It is not JSON, not such a message, or of another version (`bad_message`), or it asks for what no
        server offers (`unsupported`).
    """
    try:
        _envelope.decode(data)
        message = _client_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(
            "bad_message",
            f"found {_excerpt(data)} ({error}); wanted a `start` or `stop` message of version {VERSION}: "
            "send JSON as the schema at /schema.json says",
        ) from error
    if isinstance(message, Start):
        _check_start(message)
    return message


def _check_start(start: Start) -> None:
    name = DEFAULT_NAME if start.name is None else start.name
    for is_right, found, wanted in (
        (
            LOWEST_RATE <= start.sample_rate <= HIGHEST_RATE,
            f"a sample rate of {start.sample_rate} Hz",
            f"{LOWEST_RATE} to {HIGHEST_RATE}: resample before sending",
        ),
        (
            1 <= start.channels <= MOST_CHANNELS,
            f"{start.channels} channels",
            f"1 to {MOST_CHANNELS}: mix before sending",
        ),
        (
            start.format in FORMATS,
            f"the format {_excerpt(start.format)}",
            f"{' or '.join(FORMATS)}: convert before sending",
        ),
        (
            0 < len(name) <= LONGEST_NAME and name.isprintable() and not name.isspace(),
            f"the name {_excerpt(name)}",
            f"1 to {LONGEST_NAME} printable characters: choose another one",
        ),
        (start.backlog_s >= 0, f"a backlog of {start.backlog_s} s", "0 or more: leave it out"),
        (
            0 <= start.min_probability <= 1,
            f"min_probability {start.min_probability}",
            "a number from 0 to 1: leave it out to never abstain",
        ),
    ):
        if not is_right:
            raise ProtocolError("unsupported", f"found {found}; wanted {wanted}")


def _prediction(event: types.Prediction) -> Prediction:
    stream = event.stream
    place = affect(stream.labels, event.smoothed)
    return Prediction(
        stream=stream.name,
        seq=int(event.seq),
        start_s=_seconds(stream.seconds(event.start)),
        end_s=_seconds(stream.seconds(event.end)),
        voice_start_s=_seconds_of(stream, event.voice_start),
        voice_end_s=_seconds_of(stream, event.voice_end),
        time=stream.date(event.end),
        label=event.label,
        probability=_rounded(event.probability, 6),
        probabilities=_by_label(stream.labels, event.probabilities),
        smoothed=_by_label(stream.labels, event.smoothed),
        arousal=None if place is None else _rounded(place.arousal, 4),
        valence=None if place is None else _rounded(place.valence, 4),
        intensity=None if event.intensity is None else _rounded(event.intensity, 4),
        level_dbfs=_level(event.level_dbfs),
        dropped=int(event.dropped),
        latency_ms=LatencyMs(
            queue=_rounded(event.latency.queue_ms, 3),
            features=_rounded(event.latency.features_ms, 3),
            inference=_rounded(event.latency.inference_ms, 3),
        ),
    )


def _by_label(labels: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {label: _rounded(value, 6) for label, value in zip(labels, values, strict=True)}


def _seconds_of(stream: types.Stream, index: int | None) -> float | None:
    return None if index is None else _seconds(stream.seconds(index))


def _seconds(value: float) -> float:
    return _rounded(value, 6)


def _level(value: float) -> float:
    # A NaN is not above the floor either: a level that cannot be told is shown as none.
    return _rounded(value, 2) if value > SILENCE_DBFS else SILENCE_DBFS


def _rounded(value: float, n_digits: int) -> float:
    number = round(float(value), n_digits)
    if not math.isfinite(number):
        raise ValueError(f"found {value}; wanted a finite number, since JSON knows no other")
    return number


@functools.cache
def _server_version() -> str:
    from importlib import metadata  # noqa: PLC0415 - costs more than the rest of this module

    try:
        return metadata.version("tonewatch")
    except metadata.PackageNotFoundError:
        return "unknown"


def _excerpt(data: str | bytes, limit: int = 60) -> str:
    return repr(data) if len(data) <= limit else f"{data[:limit]!r}..."
