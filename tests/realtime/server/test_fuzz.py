"""A hundred thousand messages made of valid ones: none ends the process, or somebody else's session."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import math
import random
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from realtime import messages
from realtime.errors import ProtocolError
from realtime.messages import Error, Start, Stop
from realtime.server.access import Access
from realtime.server.audio import AudioSession, AudioStream
from realtime.server.filters import parse_query
from realtime.server.headers import Headers
from realtime.server.http import Site, Snapshot
from realtime.types import Prediction, State, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection

    from realtime.server.audio import Output
    from realtime.server.engine import SharedModel
    from realtime.server.server import EventServer
    from tests.realtime.server.conftest import Neighbour

Made = TypeVar("Made")

SEED: Final = 5
N_MESSAGES: Final = 100_000
N_OVER_SOCKETS: Final = 5_000
N_AT_A_TIME: Final = 16
DEADLINE_S: Final = 60.0

STARTS: Final = tuple(
    Start(sample_rate=rate, channels=n_channels, format=kind, name="fuzz", realtime=False, private=True)
    for rate in (8_000, 16_000, 44_100)
    for n_channels in (1, 2)
    for kind in messages.FORMATS
)
VALID: Final = (*(messages.encode(start) for start in STARTS), messages.encode(Stop()))
TOKENS: Final = (
    *("{", "}", "[", "]", ",", ":", '"', "\\", "null", "true", "-1", "0", "1e999", "1e-999", "9" * 23, "NaN"),
    *(
        "Infinity",
        '"v"',
        '"type"',
        '"start"',
        '"stop"',
        '"sample_rate"',
        '"channels"',
        '"\\ud800"',
        '"\\u0000"',
    ),
    *("\0", "\n", "\x7f", "é", "𝄞", "/*", "//", "'", "0x1", ".5", "1.", "+1", "[[[[", '{"a":'),
)
VALUES: Final[tuple[object, ...]] = (
    *(None, True, False, 0, -1, 1, 2, 8, 9, 999, 1000, 384_000, 384_001, 2**31, 2**63, 2**64, -(2**63)),
    *(
        0.5,
        -0.0,
        1e-320,
        1e308,
        "",
        "s16le",
        "f32le",
        "a",
        "x" * 64,
        "x" * 65,
        "\0",
        "\u202e",
        "\udfff",
        "none",
    ),
    *(
        "exponential:0.5",
        "exponential:1e-300",
        "majority:3",
        "majority:0",
        "majority:10000",
        "x:y:z",
        [],
        {},
        [1],
    ),
)
"""What may stand in any field; some of it is right for some."""


def mutate(rng: random.Random) -> bytes:
    """Return a valid message with a few things wrong, or nothing."""
    data = bytearray(rng.choice(VALID))
    if rng.random() < 0.5:
        fields = json.loads(data)
        for _ in range(rng.randint(1, 3)):
            name = rng.choice((*Start.__struct_fields__, "v", "type", "more"))
            if rng.random() < 0.2:
                fields.pop(name, None)
            else:
                fields[name] = rng.choice(VALUES)
        data = bytearray(json.dumps(fields, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
    for _ in range(rng.choice((0, 0, 1, 2, 8))):
        damage(rng, data)
    return bytes(data)


def damage(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(5):
        case 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 1:
            del data[at : at + rng.randint(1, 9)]
        case 2:
            data[at:at] = rng.choice(TOKENS).encode()
        case 3:
            data[at:at] = data[: rng.randrange(len(data) + 1)]
        case _:
            del data[at:]


def attempt(call: Callable[[], Made], codes: frozenset[str], longest: int) -> Made | None:
    """Return what a call makes, or None where it refuses with one of these codes, in one short line."""
    try:
        return call()
    except ProtocolError as refusal:
        error = refusal
    assert error.code in codes
    assert len(str(error)) < longest
    assert "\n" not in str(error)
    return None


def noise(rng: random.Random, n_most: int = 4_000) -> bytes:
    """Return samples, or what may be taken for them: any bits, and so any floating-point number."""
    return rng.randbytes(rng.choice((0, 1, 3, 4, 7, 400, rng.randrange(n_most))))


def test_no_message_ends_the_parser() -> None:
    """Each is understood, or refused with one short line."""
    rng = random.Random(SEED)
    n_understood = 0
    for _ in range(N_MESSAGES):
        decode = functools.partial(messages.decode_client, mutate(rng))
        message = attempt(decode, frozenset({"bad_message", "unsupported"}), 600)
        if message is None:
            continue
        n_understood += 1
        assert messages.decode_client(messages.encode(message)) == message
        if isinstance(message, Start):
            assert 1000 <= message.sample_rate <= 384_000
            assert 1 <= message.channels <= 8
            assert message.format in messages.FORMATS
            assert message.name is None or (1 <= len(message.name) <= 64 and message.name.isprintable())
            assert 0 <= message.min_probability <= 1
            assert 0 <= message.backlog_s < math.inf
    # The fuzz is worth something: much of it is right, and much nearly.
    assert N_MESSAGES / 20 < n_understood < N_MESSAGES / 2


def test_nothing_said_out_of_turn_ends_a_session_but_by_a_reason() -> None:
    rng = random.Random(SEED)
    n_said = 0
    for _ in range(3_000):
        session = AudioSession()
        with contextlib.suppress(ProtocolError):
            if rng.random() < 0.8:
                session.receive(rng.choice(VALID[:-1]).decode())
            for _ in range(10):
                data = rng.choice((mutate(rng), noise(rng), noise(rng), rng.choice(VALID)))
                n_said += 1
                heard = session.receive(data.decode() if data in VALID else data)
                assert session.start is not None
                assert (heard is session.start) or isinstance(heard, Stop | bytes)
                if session.is_ended:
                    break
    assert n_said > 8_000


@pytest.mark.slow
def test_no_samples_become_events_that_cannot_be_told(shared_model: SharedModel) -> None:
    rng = random.Random(SEED)
    n_predictions = 0
    for _ in range(300):
        start = msgspec.structs.replace(
            rng.choice(STARTS),
            sample_rate=rng.choice((1_000, 8_000, 16_000, 22_050, 384_000)),
            channels=rng.randint(1, 8),
            hop_s=rng.choice((None, None, 0.5, 1e-6, 1e6)),
            smoothing=rng.choice((None, "none", "exponential:0.01", "majority:10000", "majority:1e5")),
            min_probability=rng.random(),
        )
        make = functools.partial(AudioStream, start, shared_model, name="fuzz", started=datetime.now(UTC))
        stream = attempt(make, frozenset({"unsupported"}), 600)
        if stream is None:
            continue
        outputs = [*stream.begin()]
        for _ in range(8):
            outputs += use(rng, stream)
        outputs += rng.choice((stream.finish, stream.abandon))()
        for output in outputs:
            message = output if isinstance(output, Error) else messages.to_message(output)
            assert messages.decode(messages.encode(message))
        predictions = [output for output in outputs if isinstance(output, Prediction)]
        assert all(abs(sum(prediction.smoothed) - 1) < 1e-3 for prediction in predictions)
        n_predictions += len(predictions)
        last = [output for output in outputs if isinstance(output, Status)][-1]
        assert last.state is State.STOPPED
    assert n_predictions > 100


def use(rng: random.Random, stream: AudioStream) -> list[Output]:
    """Do what may happen to a stream: noise, audio long enough for windows, a lost connection."""
    match rng.randrange(9):
        case 0:
            return stream.break_off()
        case 1:
            return stream.go_on(rng.choice((0.0, 0.01, 1e6)))
        case 2 | 3:
            return stream.push(noise(rng))
        case _:
            return stream.push(tone(stream.start, 1 + 3 * rng.random()) + noise(rng, 64))


def tone(start: Start, seconds: float) -> bytes:
    n = round(min(seconds, 400_000 / start.sample_rate) * start.sample_rate)
    wave = 0.3 * np.sin(np.arange(n) * 0.2) * (np.arange(n) % 700 < 500)
    samples = np.repeat(wave[:, None], start.channels, axis=1)
    if start.format == "s16le":
        return (samples * 32_767).astype("<i2").tobytes()
    return samples.astype("<f4").tobytes()


def test_no_query_ends_the_server() -> None:
    rng = random.Random(SEED)
    now = datetime.now(UTC)
    parts = (
        *(
            "stream",
            "types",
            "min_probability",
            "since",
            "=",
            "&",
            "&",
            "=",
            "%",
            "%ff",
            "%00",
            "+",
            ";",
            "a",
            "0.5",
        ),
        *(
            "prediction",
            ",",
            "600",
            "1e309",
            "nan",
            "-1",
            "2026-01-31T12:00:00Z",
            "9999-12-31T23:59:59-12:00",
            "é",
            "\0",
        ),
        *("0001-01-01T00:00:00+14:00", "1e9", "x" * 500),
    )
    n_understood = 0
    for _ in range(20_000):
        query = "".join(rng.choices(parts, k=rng.randrange(8)))
        parse = functools.partial(parse_query, query, now)
        n_understood += attempt(parse, frozenset({"bad_message"}), 400) is not None
    assert n_understood > 500


def test_no_request_ends_the_server() -> None:
    rng = random.Random(SEED)
    site = Site(Access(token="correct-horse-battery"), Snapshot, bytes)
    names = ("Host", "Origin", "Authorization", "Sec-WebSocket-Protocol", "Upgrade", "If-None-Match", "X")
    values = (
        *(
            "localhost",
            "localhost:8765",
            "evil.example",
            "null",
            "",
            "http://localhost",
            "websocket",
            "Bearer x",
            "\xff",
        ),
        *("tonewatch.v1, tonewatch.token.eA", ",,,", "*", "[::1]", "x" * 9000, "\t", '"a"'),
    )
    paths = (
        *("/", "/events", "/audio", "/metrics", "/health", "/schema.json", "..", "%2e", "?", "&", "token="),
        "#",
        "x",
        "\\",
    )
    seen = set[int]()
    for _ in range(20_000):
        fields = [(rng.choice(names), rng.choice(values)) for _ in range(rng.randrange(6))]
        path = "".join(rng.choices(paths, k=rng.randrange(4)))
        answer = site.answer(path, Headers(fields), rng.choice(("GET", "GET", "GET", "POST", "")))
        # None would let in who does not have the token.
        assert answer is not None
        seen.add(answer.status.value)
        if answer.status >= 400:
            assert len(answer.body) < 600
        for name, value in answer.headers:
            assert (name + value).isprintable()
    assert {200, 400, 401, 404, 405} <= seen


async def chat(rng: random.Random, peer: ClientConnection) -> int:
    """Say a few things to a server, most of them wrong; return how many."""
    n_said = rng.randint(1, 20)
    if rng.random() < 0.7:
        await peer.send(rng.choice(VALID[:-1]), text=True)
    for _ in range(n_said):
        match rng.randrange(8):
            case 0:
                await peer.send(mutate(rng).decode("utf-8", "replace"))
            case 1:
                await peer.send(mutate(rng), text=True)
            case 2:
                await peer.send([noise(rng), b"", noise(rng)])
            case 3:
                await peer.ping()
            case _:
                await peer.send(noise(rng))
    match rng.randrange(4):
        case 0:
            peer.transport.abort()
        case 1:
            await peer.close()
        case _:
            await peer.send(messages.encode(Stop()), text=True)
    return n_said


@pytest.mark.slow
def test_nothing_sent_ends_the_server_or_harms_a_neighbour(
    hostile_server: EventServer, neighbour: Neighbour
) -> None:
    """Over real sockets, many at a time; the last word is the server's, and never that it broke."""
    url = hostile_server.url.replace("/events", "/audio")
    codes = Counter[int | None]()

    async def go_on(rng: random.Random) -> None:
        n_said = 0
        while n_said < N_OVER_SOCKETS / N_AT_A_TIME:
            async with connect(url, max_queue=None, compression=None) as peer:
                with contextlib.suppress(ConnectionClosed):
                    n_said += await chat(rng, peer)
                with contextlib.suppress(ConnectionClosed):
                    async with asyncio.timeout(DEADLINE_S):
                        while True:
                            assert messages.decode(await peer.recv())
            codes[peer.close_code] += 1

    async def check() -> None:
        async with neighbour(hostile_server):
            await asyncio.gather(*(go_on(random.Random(SEED + number)) for number in range(N_AT_A_TIME)))

    asyncio.run(check())
    # 1007: text that is no UTF-8. Never 1011: an internal error.
    assert set(codes) <= {None, 1000, 1005, 1006, 1007, 1008}
    assert codes[1000] > 10
    assert codes[1008] > 10
