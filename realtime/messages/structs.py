"""Every message as a typed struct; each field is documented by the string that follows it."""

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from realtime.types import State

VERSION: Final = 1
"""Version of the schema that this module speaks."""

EVENTS_PATH: Final = "/events"
"""Where on a server the events are."""

AUDIO_PATH: Final = "/audio"
"""Where on a server audio goes to."""

SUBPROTOCOL: Final = f"tonewatch.v{VERSION}"
"""The WebSocket subprotocol, for those who name one."""

FORMATS: Final = ("s16le", "f32le")
"""Formats of samples that a server takes: 16-bit integers and 32-bit floats, little-endian."""

LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
"""Sample rates that a server takes, in Hz."""

MOST_CHANNELS: Final = 8
"""Channels that a server takes at the most."""

DEFAULT_NAME: Final = "stream"
"""The name of a stream whose sender gives none."""

LONGEST_NAME: Final = 64
"""Characters of a stream's name at the most."""


class BaseMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every message has."""

    # By a factory, since `omit_defaults` leaves out what equals a plain default, and `v` is always sent.
    v: Literal[1] = msgspec.field(default_factory=lambda: 1)
    """Version of this schema."""


class BaseServerMessage(BaseMessage, frozen=True, kw_only=True):
    """What every message of a server may have."""

    sent: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """When the server sent it: RFC 3339 with microseconds, in UTC, each later than the one before. Given to
    `since`, it goes on behind this message. In a newcomer's `hello`: where what follows begins. Left out of
    what is told again."""
    clock: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """What the server's clock shows: RFC 3339, in UTC. In a newcomer's `hello`, and as long as `sent` is
    ahead of a clock that was set back; otherwise `sent` says it."""


class Hello(BaseServerMessage, frozen=True, kw_only=True, tag="hello"):
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
    """Names of the streams; there may be none."""
    server: str
    """Version of Tonewatch that sends."""
    max_message_bytes: int | None = None
    """Length that a message to `/audio` may have, in bytes; left out where no audio is taken."""
    formats: tuple[str, ...] = ()
    """Formats of samples that `/audio` takes; left out where no audio is taken."""
    history_s: float | None = None
    """How far back `since` reaches at the most, in seconds: less far where more was told in that time than is
    kept, or sent again; left out where nothing is remembered."""


class LatencyMs(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time between a window's last sample and its prediction went."""

    queue: float
    """Waiting between the device and the recognizer, in milliseconds."""
    features: float
    """Computing features, in milliseconds."""
    inference: float
    """Running the model, in milliseconds."""


class Prediction(BaseServerMessage, frozen=True, kw_only=True, tag="prediction"):
    """The emotion of one window."""

    stream: str
    """Name of the stream."""
    seq: int
    """Number of the prediction within its stream, from 0."""
    start_s: float
    """Where the window begins, in seconds since the stream began."""
    end_s: float
    """Where the window ends, in seconds since the stream began."""
    voice_start_s: float | None = None
    """Where in the window a voice is first heard, in seconds since the stream began."""
    voice_end_s: float | None = None
    """Where in the window a voice is last heard, likewise; older servers leave out both."""
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    """Date of the window's end, RFC 3339, in UTC."""
    label: str
    """One of the labels, or `unknown` when the model abstains."""
    probability: float
    """Smoothed probability of the likeliest label, 0 to 1."""
    probabilities: dict[str, float]
    """Probability of each label of this window alone; a card may hold a speaker's usual ones back."""
    smoothed: dict[str, float]
    """Probability of each label after smoothing over time."""
    arousal: float | None = None
    """From calm to excited, -1 to 1: the mean over the labels, by their smoothed probabilities."""
    valence: float | None = None
    """From unpleasant to pleasant, -1 to 1, likewise."""
    intensity: float | None = None
    """Strength of the emotion, 0 to 1, where the model gives it."""
    level_dbfs: float
    """Root mean square of the window, in dB relative to full scale; -120 at the least."""
    dropped: int
    """Samples lost since the stream's previous prediction or status."""
    latency_ms: LatencyMs
    """Where the time went, in milliseconds."""


class Segment(BaseServerMessage, frozen=True, kw_only=True, tag="segment"):
    """A stretch of a voice with one stable label."""

    stream: str
    """Name of the stream."""
    label: str
    """One of the labels, or `unknown`."""
    start_s: float
    """Where its voice begins, in seconds since the stream began."""
    end_s: float | None
    """Where its voice ends, in seconds since the stream began; null while it is open."""
    probability: float
    """Mean smoothed probability of the label, 0 to 1."""


class Status(BaseServerMessage, frozen=True, kw_only=True, tag="status"):
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


class Error(BaseServerMessage, frozen=True, kw_only=True, tag="error"):
    """Something went wrong with this session, not with the stream."""

    code: str
    """What it is, for programs: `bad_message`, `unsupported`, `name_taken`, `at_capacity`,
    `rate_limited`, `stalled`, `bad_samples`, `leftover`, `slow_subscriber`, `disconnected`."""
    message: str
    """What it is, for people."""
    fatal: bool
    """Whether the session ends with this message; otherwise it goes on."""
    dropped: int
    """Messages that this subscriber, or samples that this sender, lost since it was last told."""


Message: TypeAlias = Hello | Prediction | Segment | Status | Error
"""What a server sends."""


class Start(BaseMessage, frozen=True, kw_only=True, tag="start"):
    """The first message to `/audio`: what will be sent. Samples follow in binary messages."""

    # The bounds stand in the schema; `decode_client` checks them, so that the error can say which it was.
    sample_rate: Annotated[
        int, msgspec.Meta(extra_json_schema={"minimum": LOWEST_RATE, "maximum": HIGHEST_RATE})
    ]
    """Samples per second of each channel, in Hz, 1000 to 384000."""
    channels: Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MOST_CHANNELS})]
    """Interleaved channels, 1 to 8; their mean is listened to, or the loudest where they cancel out."""
    format: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(FORMATS)})]
    """Format of a sample: `s16le` or `f32le`."""
    name: (
        Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": LONGEST_NAME})] | None
    ) = None
    """Names the stream, up to 64 printable characters; by it a sender that was gone goes on."""
    private: bool = False
    """Whether the events go to this sender alone, not to subscribers."""
    realtime: bool = True
    """Whether the audio is live; otherwise it is a recording, sent as fast as it is taken."""
    backlog_s: Annotated[float, msgspec.Meta(extra_json_schema={"minimum": 0})] = 0.0
    """After a lost connection: seconds of audio kept meanwhile and sent first, which count as not lost."""
    hop_s: float | None = None
    """Seconds between predictions; the model's own where left out."""
    smoothing: str | None = None
    """`none`, `exponential:ALPHA` or `majority:N`; the model's own where left out."""
    min_probability: Annotated[float, msgspec.Meta(extra_json_schema={"minimum": 0, "maximum": 1})] = 0.0
    """Below this the label is `unknown`, 0 to 1."""


class Stop(BaseMessage, frozen=True, kw_only=True, tag="stop"):
    """The last message to `/audio`: the last events follow, then the connection is closed."""


ClientMessage: TypeAlias = Start | Stop
"""What a sender sends, besides samples."""
