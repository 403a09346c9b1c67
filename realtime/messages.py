"""The wire schema, version 1: the only place where events become JSON.

A message is one JSON object, told apart by `type`. Readers ignore fields they do not know, so that a
server may add some; whatever would mislead an old reader gets a new `v`.

`hello` tells what the stream is, `to_message` turns an event into its message; `encode` and `decode`
cross the wire. `json_schema` and `markdown_table` describe all of it for people and programs; both are
made from the structs below, whose fields are documented by the string that follows each.
"""

import functools
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, assert_never, get_args

import msgspec

from realtime import types
from realtime.errors import SubscriptionError
from realtime.types import SILENCE_DBFS, State

VERSION: Final = 1
"""Version of the schema that this module speaks."""

EVENTS_PATH: Final = "/events"
"""Where on a server the events are."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    # By a factory, since `omit_defaults` leaves out what equals a plain default, and `v` is always sent.
    v: Literal[1] = msgspec.field(default_factory=lambda: 1)
    """Version of this schema."""


class Hello(_Message, frozen=True, kw_only=True, tag="hello"):
    """What is listened to, and by which model: the first message, sent again when a stream is new."""

    model: str
    """Name of the model."""
    labels: tuple[str, ...]
    """The model's classes, in the order used everywhere."""
    sample_rate: int
    """Samples per second that the model hears, in Hz."""
    window_s: float
    """Length of the audio behind each prediction, in seconds."""
    hop_s: float
    """Time from one prediction to the next, in seconds."""
    streams: tuple[str, ...]
    """Names of the streams."""
    server: str
    """Version of Tonewatch that sends."""


class LatencyMs(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time between a window's last sample and its prediction went."""

    queue: float
    """Waiting between the device and the recognizer, in milliseconds."""
    features: float
    """Computing features, in milliseconds."""
    inference: float
    """Running the model, in milliseconds."""


class Prediction(_Message, frozen=True, kw_only=True, tag="prediction"):
    """The emotion of one window."""

    stream: str
    """Name of the stream."""
    seq: int
    """Number of the prediction within its stream, from 0."""
    start_s: float
    """Where the window begins, in seconds since the stream began."""
    end_s: float
    """Where the window ends, in seconds since the stream began."""
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    """Date of the window's end, RFC 3339, in UTC."""
    label: str
    """One of the labels, or `unknown` when the model abstains."""
    probability: float
    """Smoothed probability of the likeliest label, 0 to 1."""
    probabilities: dict[str, float]
    """Probability of each label in this window alone."""
    smoothed: dict[str, float]
    """Probability of each label after smoothing over time."""
    arousal: float | None = None
    """From calm to excited, -1 to 1, where the model gives it."""
    valence: float | None = None
    """From unpleasant to pleasant, -1 to 1, where the model gives it."""
    intensity: float | None = None
    """Strength of the emotion, 0 to 1, where the model gives it."""
    level_dbfs: float
    """Root mean square of the window, in dB relative to full scale; -120 at the least."""
    dropped: int
    """Samples lost since the stream's previous prediction or status."""
    latency_ms: LatencyMs
    """Where the time went, in milliseconds."""


class Segment(_Message, frozen=True, kw_only=True, tag="segment"):
    """A stretch of time with one stable label."""

    stream: str
    """Name of the stream."""
    label: str
    """One of the labels, or `unknown`."""
    start_s: float
    """Where it begins, in seconds since the stream began."""
    end_s: float | None
    """Where it ends, in seconds since the stream began; null while it is open."""
    probability: float
    """Mean smoothed probability of the label, 0 to 1."""


class Status(_Message, frozen=True, kw_only=True, tag="status"):
    """What a stream does; sent when that changes, and again while it is not predicting."""

    stream: str
    """Name of the stream."""
    state: State
    """What it does: `listening` and `clipping` predict, the others do not."""
    detail: str
    """Why, for people; may be empty."""
    since_s: float
    """When the state began, in seconds since the stream began."""
    at_s: float
    """When this is told, in seconds since the stream began: later than `since_s` where it is told again."""
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    """Date of that moment, RFC 3339, in UTC."""
    level_dbfs: float | None
    """Root mean square of the newest window, in dB relative to full scale; null before there is one."""
    dropped: int
    """Samples lost since the stream's previous prediction or status."""


class Error(_Message, frozen=True, kw_only=True, tag="error"):
    """Something went wrong with this session, not with the stream."""

    code: str
    """What it is, for programs: `slow_subscriber`, `disconnected`."""
    message: str
    """What it is, for people."""
    fatal: bool
    """Whether the session ends with this message; otherwise it goes on."""
    dropped: int
    """Messages that this subscriber lost since the last one it got."""


Message: TypeAlias = Hello | Prediction | Segment | Status | Error


class _Envelope(msgspec.Struct):
    """What says whether the rest can be read: found out first, for the sake of a clear error."""

    v: int
    type: str


_envelope: Final = msgspec.json.Decoder(_Envelope)
_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)
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
                end_s=None if event.end is None else _seconds(stream.seconds(event.end)),
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


def encode(message: Message) -> bytes:
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


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a message, each field with its meaning."""
    schema = msgspec.json.schema(Message)
    for struct in (*get_args(Message), LatencyMs):
        definition = schema["$defs"][struct.__name__]
        definition["description"] = _summary(struct)
        for name, meaning in _meanings(struct).items():
            definition["properties"][name]["description"] = meaning
        if struct is not LatencyMs:
            # Has a default for the sake of constructors; on the wire it is never left out.
            definition["required"].insert(1, "v")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Tonewatch message, version {VERSION}",
        **schema,
    }


def markdown_table() -> str:
    """Return one Markdown table per message type: field, JSON type, meaning."""
    parts = []
    for struct in get_args(Message):
        info = msgspec.inspect.type_info(struct)
        assert isinstance(info, msgspec.inspect.StructType)
        meanings = _meanings(struct)
        lines = [
            f"**`{info.tag}`**: {_summary(struct)}",
            "",
            "| field | type | meaning |",
            "|---|---|---|",
            f"| `type` | string | `{info.tag}` |",
        ]
        for field in info.fields:
            kind = _json_type(field.type)
            if field.default is None:
                kind = kind.replace(" or null", ", may be left out")
            lines.append(f"| `{field.encode_name}` | {kind} | {meanings[field.name]} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _prediction(event: types.Prediction) -> Prediction:
    stream = event.stream
    return Prediction(
        stream=stream.name,
        seq=int(event.seq),
        start_s=_seconds(stream.seconds(event.start)),
        end_s=_seconds(stream.seconds(event.end)),
        time=stream.date(event.end).astimezone(UTC),
        label=event.label,
        probability=_rounded(event.probability, 6),
        probabilities=_by_label(stream.labels, event.probabilities),
        smoothed=_by_label(stream.labels, event.smoothed),
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


def _summary(struct: type) -> str:
    return (struct.__doc__ or "").split("\n\n")[0]


def _meanings(struct: type) -> dict[str, str]:
    """Return the string that follows each field in the source, by field; Python itself forgets them."""
    import ast  # noqa: PLC0415 - only those who write documentation need it
    import inspect  # noqa: PLC0415

    meanings: dict[str, str] = {}
    if struct is not _Message and issubclass(struct, _Message):
        meanings.update(_meanings(_Message))
    (definition,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(definition, ast.ClassDef)
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(meaning))):
                meanings[name] = meaning
    return meanings


def _json_type(kind: msgspec.inspect.Type) -> str:
    """Return what a type of the schema is called in JSON."""
    name = _JSON_NAMES.get(type(kind), "")
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            name = _json_type(inner)
        case msgspec.inspect.UnionType(types=members):
            name = " or ".join(_json_type(member) for member in members)
        case msgspec.inspect.VarTupleType(item_type=item):
            name = f"array of {_json_type(item)}s"
        case msgspec.inspect.DictType(value_type=value):
            name = f"object {{label: {_json_type(value)}}}"
        case msgspec.inspect.StructType(fields=fields):
            name = f"object {{{', '.join(field.encode_name for field in fields)}}}"
        case msgspec.inspect.EnumType(cls=cls):
            name = ", ".join(f"`{member.value}`" for member in cls)
        case msgspec.inspect.LiteralType(values=values):
            name = ", ".join(f"`{value}`" for value in values)
    assert name, f"found {kind}; wanted a type that this function can name"
    return name


_JSON_NAMES: Final[dict[type, str]] = {
    msgspec.inspect.StrType: "string",
    msgspec.inspect.DateTimeType: "string",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.BoolType: "boolean",
    msgspec.inspect.NoneType: "null",
}
