from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import messages, types
from realtime.errors import ProtocolError, SubscriptionError
from realtime.messages import structs
from realtime.types import LABELS, Latency, State, Stream

STREAM = Stream(
    name="microphone",
    model="tiny",
    labels=("neutral", "angry"),
    sample_rate=22050,
    window=66150,
    hop=11025,
    started=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
)
PREDICTION = types.Prediction(
    stream=STREAM,
    seq=7,
    start=22050,
    end=88200,
    label="angry",
    probability=0.87654321,
    probabilities=(1 / 3, 2 / 3),
    smoothed=(0.12345679, 0.87654321),
    level_dbfs=-23.456,
    dropped=480,
    latency=Latency(queue_ms=12.3456, features_ms=3.0, inference_ms=0.5),
)
SEGMENT = types.Segment(stream=STREAM, label="angry", start=1, end=None, probability=0.5)
STATUS = types.Status(
    stream=STREAM, state=State.SILENT, detail="no voice", since=44100, at=88200, level_dbfs=-70.0, dropped=3
)

MESSAGE_TYPES = get_args(messages.Message)
VALIDATOR = jsonschema.Draft202012Validator(messages.json_schema())
CLIENT_TYPES = get_args(messages.ClientMessage)
START = messages.Start(sample_rate=16_000, channels=1, format="s16le")

_finite = st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(st.characters(exclude_categories=["Cs"]))
_dates = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def values_of(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one case per type
    """Return a strategy for any type that the schema uses."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return values_of(inner)
        case msgspec.inspect.UnionType(types=members):
            return st.one_of(*(values_of(member) for member in members))
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(values_of(item), max_size=4).map(tuple)
        case msgspec.inspect.DictType(value_type=value):
            return st.dictionaries(_text, values_of(value), max_size=4)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return st.fixed_dictionaries({f.name: values_of(f.type) for f in fields}).map(
                lambda kw: cls(**kw)
            )
        case msgspec.inspect.EnumType(cls=cls):
            return st.sampled_from(cls)
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
    return {
        msgspec.inspect.StrType: _text,
        msgspec.inspect.DateTimeType: _dates,
        msgspec.inspect.FloatType: _finite,
        msgspec.inspect.IntType: st.integers(-(2**63), 2**63 - 1),
        msgspec.inspect.BoolType: st.booleans(),
        msgspec.inspect.NoneType: st.none(),
    }[type(kind)]


every_message = st.one_of(*(values_of(msgspec.inspect.type_info(struct)) for struct in MESSAGE_TYPES))
every_start = st.builds(
    messages.Start,
    sample_rate=st.integers(messages.LOWEST_RATE, messages.HIGHEST_RATE),
    channels=st.integers(1, messages.MOST_CHANNELS),
    format=st.sampled_from(messages.FORMATS),
    name=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=messages.LONGEST_NAME),
    private=st.booleans(),
    realtime=st.booleans(),
    backlog_s=st.floats(0, 60),
    hop_s=st.none() | st.floats(0.1, 3),
    smoothing=st.none() | _text,
    min_probability=st.floats(0, 1),
)
every_client_message = every_start | st.just(messages.Stop())


def test_every_struct_with_a_tag_is_part_of_the_union() -> None:
    every = [s for s in vars(structs).values() if isinstance(s, type) and issubclass(s, msgspec.Struct)]
    tagged = {struct for struct in every if struct.__struct_config__.tag}
    bases = {structs.BaseMessage, structs.BaseServerMessage}
    assert tagged - bases == {*MESSAGE_TYPES, *CLIENT_TYPES} == set(messages.EVERY_MESSAGE)


@given(every_message)
def test_round_trip(message: messages.Message) -> None:
    data = messages.encode(message)
    assert b"\n" not in data
    assert messages.decode(data) == message
    assert messages.decode(data.decode()) == message


@given(every_client_message)
def test_round_trip_of_what_senders_say(message: messages.ClientMessage) -> None:
    data = messages.encode(message)
    assert messages.decode_client(data) == message
    assert messages.decode_client(data.decode()) == message
    content = json.loads(data)
    assert (content["v"], content["type"]) == (1, type(message).__name__.lower())


@given(st.one_of(every_message, every_client_message))
def test_what_is_sent_fits_the_schema(message: messages.Message | messages.ClientMessage) -> None:
    VALIDATOR.validate(json.loads(messages.encode(message)))


@pytest.mark.parametrize("struct", messages.EVERY_MESSAGE)
def test_the_schema_refuses_what_lacks_a_field(struct: type[msgspec.Struct]) -> None:
    fields = msgspec.inspect.type_info(struct).fields  # type: ignore[attr-defined]
    for field in [field.name for field in fields if field.required] + ["v", "type"]:
        content = json.loads(messages.encode(example_of(struct)))
        del content[field]
        assert not VALIDATOR.is_valid(content), field


def example_of(struct: type[msgspec.Struct]) -> Any:
    events: list[Any] = [messages.to_message(event) for event in (PREDICTION, SEGMENT, STATUS)]
    error = messages.Error(code="stalled", message="x", fatal=True, dropped=0)
    every = [*events, error, messages.hello([STREAM]), START, messages.Stop()]
    return next(message for message in every if isinstance(message, struct))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"sample_rate": 999}, "a sample rate of 999 Hz"),
        ({"sample_rate": 384_001}, "a sample rate of 384001 Hz"),
        ({"sample_rate": -(2**63)}, "a sample rate of -"),
        ({"channels": 0}, "0 channels"),
        ({"channels": 9}, "9 channels"),
        ({"format": "mp3"}, "the format 'mp3'"),
        ({"format": "u8"}, "the format 'u8'"),
        ({"name": ""}, "the name ''"),
        ({"name": "x" * 65}, "the name 'x"),
        ({"name": "a\nb"}, "the name"),
        ({"name": "\x1b[2J"}, "the name"),
        ({"name": "   "}, "the name"),
        ({"backlog_s": -1}, "a backlog of -1.0 s"),
        ({"min_probability": 1.5}, "min_probability 1.5"),
    ],
)
def test_what_no_server_offers_is_unsupported(changes: dict[str, Any], found: str) -> None:
    content = json.loads(messages.encode(START)) | changes
    with pytest.raises(ProtocolError, match=rf"found {re.escape(found)}.*; wanted ") as caught:
        messages.decode_client(json.dumps(content))
    assert caught.value.code == "unsupported"


@given(
    st.one_of(
        st.text(),
        st.binary(),
        every_message.map(messages.encode),
        st.sampled_from(
            [
                "[" * 100_000,
                '{"v":1,"type":"start"}',
                '{"type":"stop"}',
                '{"v":2,"type":"stop"}',
                '{"v":true,"type":"stop"}',
                '{"v":1,"type":"start","sample_rate":"16000","channels":1,"format":"s16le"}',
                '{"v":1,"type":"start","sample_rate":16000.5,"channels":1,"format":"s16le"}',
                '{"v":1,"type":"start","sample_rate":1e400,"channels":1,"format":"s16le"}',
                '{"v":1,"type":"start","sample_rate":16000,"channels":1,"format":"s16le","name":7}',
                '{"v":1,"type":"start","sample_rate":16000,"channels":1,"format":"s16le","hop_s":NaN}',
            ]
        ),
    )
)
def test_what_no_sender_says_is_a_bad_message(data: str | bytes) -> None:
    with pytest.raises(ProtocolError, match=r"found .*; wanted a `start` or `stop` message") as caught:
        messages.decode_client(data)
    assert caught.value.code == "bad_message"
    assert len(str(caught.value)) < 500


def test_the_date_on_the_wire_is_in_utc_with_microseconds() -> None:
    sent = datetime(2026, 3, 4, 5, 6, 7, 1, tzinfo=UTC)
    message = msgspec.structs.replace(messages.to_message(SEGMENT), sent=sent)
    assert json.loads(messages.encode(message))["sent"] == "2026-03-04T05:06:07.000001Z"


@given(every_message, st.dictionaries(_text.map(lambda name: f"x_{name}"), _text, max_size=3))
def test_unknown_fields_are_ignored(message: messages.Message, more: dict[str, str]) -> None:
    content = json.loads(messages.encode(message)) | more
    assert messages.decode(json.dumps(content)) == message


@given(every_message)
def test_type_and_version_are_always_written(message: messages.Message) -> None:
    content = json.loads(messages.encode(message))
    assert content["v"] == 1
    assert content["type"] == type(message).__name__.lower()


@given(every_message, st.integers(2, 1000))
def test_a_newer_version_is_refused(message: messages.Message, version: int) -> None:
    content = json.loads(messages.encode(message)) | {"v": version}
    with pytest.raises(SubscriptionError, match=f"version {version}; wanted 1: update Tonewatch here"):
        messages.decode(json.dumps(content))


@given(st.one_of(st.text(), st.binary(), st.just("[" * 100_000), st.just('{"v":1,"type":"prediction"}')))
def test_what_is_no_message_is_refused_with_a_clear_error(data: str | bytes) -> None:
    with pytest.raises(SubscriptionError, match=r"found .*; wanted|found a message of type"):
        messages.decode(data)


@pytest.mark.parametrize(
    "data", ['{"type":"hello"}', '{"v":1}', '{"v":1,"type":"weather"}', "[1]", '"hello"']
)
def test_what_lacks_a_version_or_a_known_type_is_refused(data: str) -> None:
    with pytest.raises(SubscriptionError):
        messages.decode(data)


def test_prediction_on_the_wire() -> None:
    assert json.loads(messages.encode(messages.to_message(PREDICTION))) == {
        "type": "prediction",
        "v": 1,
        "stream": "microphone",
        "seq": 7,
        "start_s": 1.0,
        "end_s": 4.0,
        "time": "2026-03-04T05:06:11Z",
        "label": "angry",
        "probability": 0.876543,
        "probabilities": {"neutral": 0.333333, "angry": 0.666667},
        "smoothed": {"neutral": 0.123457, "angry": 0.876543},
        "arousal": 0.6765,
        "valence": -0.5259,
        "level_dbfs": -23.46,
        "dropped": 480,
        "latency_ms": {"queue": 12.346, "features": 3.0, "inference": 0.5},
    }


def test_where_the_voice_is_is_on_the_wire_where_that_is_known() -> None:
    message = messages.to_message(replace(PREDICTION, voice_start=0, voice_end=22051))
    assert isinstance(message, messages.Prediction)
    assert (message.voice_start_s, message.voice_end_s) == (0.0, 1.000045)
    assert b'"voice_start_s":0.0' in messages.encode(message)
    # As older servers send it.
    assert b"voice" not in messages.encode(messages.to_message(PREDICTION))
    assert PREDICTION.heard == (PREDICTION.start, PREDICTION.end)


def test_intensity_is_on_the_wire_where_there_is_one() -> None:
    message = messages.to_message(replace(PREDICTION, intensity=0.123456))
    assert isinstance(message, messages.Prediction)
    assert message.intensity == 0.1235
    assert b"intensity" not in messages.encode(messages.to_message(PREDICTION))


def test_segment_on_the_wire_says_null_while_it_is_open() -> None:
    assert json.loads(messages.encode(messages.to_message(SEGMENT))) == {
        "type": "segment",
        "v": 1,
        "stream": "microphone",
        "label": "angry",
        "start_s": 0.000045,
        "end_s": None,
        "probability": 0.5,
    }
    closed = messages.to_message(replace(SEGMENT, end=22050))
    assert isinstance(closed, messages.Segment)
    assert closed.end_s == 1.0


def test_status_on_the_wire() -> None:
    assert json.loads(messages.encode(messages.to_message(STATUS))) == {
        "type": "status",
        "v": 1,
        "stream": "microphone",
        "state": "silent",
        "detail": "no voice",
        "since_s": 2.0,
        "at_s": 4.0,
        "time": "2026-03-04T05:06:11Z",
        "level_dbfs": -70.0,
        "dropped": 3,
    }


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_told(state: State) -> None:
    message = messages.to_message(replace(STATUS, state=state))
    assert messages.decode(messages.encode(message)) == message


@pytest.mark.parametrize("level", [-math.inf, math.nan, -500.0, -120.0])
def test_the_level_of_digital_silence_is_a_number(level: float) -> None:
    for event in (replace(PREDICTION, level_dbfs=level), replace(STATUS, level_dbfs=level)):
        message = messages.decode(messages.encode(messages.to_message(event)))
        assert isinstance(message, messages.Prediction | messages.Status)
        assert message.level_dbfs == -120.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_probability_that_is_no_number_never_becomes_json(value: float) -> None:
    with pytest.raises(ValueError, match="wanted a finite number"):
        messages.to_message(replace(PREDICTION, smoothed=(0.5, value)))


@pytest.mark.parametrize("event", [PREDICTION, STATUS], ids=["prediction", "status"])
def test_the_time_is_in_utc_wherever_the_stream_began(event: types.Prediction | types.Status) -> None:
    east = datetime(2026, 3, 4, 14, 6, 7, 250000, tzinfo=timezone(timedelta(hours=9)))
    # What has no time zone is of the place where it is made.
    here = east.astimezone().replace(tzinfo=None)
    for started in (east, here):
        data = messages.encode(messages.to_message(replace(event, stream=replace(STREAM, started=started))))
        assert json.loads(data)["time"] == "2026-03-04T05:06:11.250000Z"
        assert type(messages.decode(data)) is type(messages.to_message(event))


def test_hello() -> None:
    message = messages.hello([STREAM, replace(STREAM, name="second")])
    assert message.streams == ("microphone", "second")
    assert (message.model, message.labels, message.sample_rate) == ("tiny", ("neutral", "angry"), 22050)
    assert (message.window_s, message.hop_s) == (3.0, 0.5)
    assert message.server


def test_hello_needs_streams_of_one_model() -> None:
    with pytest.raises(ValueError, match="no stream"):
        messages.hello([])
    with pytest.raises(ValueError, match="2 models"):
        messages.hello([STREAM, replace(STREAM, model="other", labels=LABELS)])


def test_every_field_has_a_meaning_in_the_schema() -> None:
    schema = messages.json_schema()
    names = {struct.__name__.lower() for struct in messages.EVERY_MESSAGE}
    assert set(schema["discriminator"]["mapping"]) == names
    for name, definition in schema["$defs"].items():
        if name == "State":
            continue
        for field, content in definition["properties"].items():
            assert field == "type" or content["description"], (name, field)
    for name in ("Hello", "Start", "Stop"):
        assert {"v", "type"} <= set(schema["$defs"][name]["required"])
    assert schema["$defs"]["Start"]["properties"]["channels"]["maximum"] == 8


def test_the_table_has_every_message_and_every_field() -> None:
    table = messages.markdown_table()
    for struct in messages.EVERY_MESSAGE:
        assert f"**`{struct.__name__.lower()}`**" in table
        for field in struct.__struct_fields__:
            assert f"| `{field}` | " in table
    assert (
        "| `end_s` | number or null | Where its voice ends, in seconds since the stream began; null" in table
    )
    assert "| `arousal` | number, may be left out |" in table
    assert "| `voice_start_s` | number, may be left out |" in table
    assert "| `name` | string, may be left out |" in table
    assert "| `sample_rate` | integer | Samples per second of each channel" in table
