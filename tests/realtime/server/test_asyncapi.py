from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from realtime import messages
from realtime.server.asyncapi import EXAMPLES, SAMPLES, asyncapi
from realtime.server.filters import _KEYS, parse_query

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = asyncapi("localhost:8765")
VALIDATOR = jsonschema.Draft202012Validator(messages.json_schema())


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    """Return what a reference leads to, through those on its way."""
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
        if isinstance(node, dict) and set(node) == {"$ref"}:
            node = resolve(node["$ref"])
    return node


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 30
    for reference in found:
        assert reference.startswith("#/")
        assert resolve(reference)


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(DOCUMENT, allow_nan=False)) == DOCUMENT


def test_where_the_server_is() -> None:
    (server,) = asyncapi("example.org:1", is_tls=True)["servers"].values()
    assert (server["host"], server["protocol"]) == ("example.org:1", "wss")
    assert DOCUMENT["servers"]["tonewatch"]["protocol"] == "ws"


def test_every_message_is_part_of_a_channel_and_of_an_operation() -> None:
    described = set(DOCUMENT["components"]["messages"])
    assert described == {struct.__struct_config__.tag for struct in messages.EVERY_MESSAGE} | {SAMPLES}
    from_server = {"hello", "prediction", "segment", "status", "error"}
    channels = DOCUMENT["channels"]
    assert set(channels["events"]["messages"]) == from_server
    assert set(channels["audio"]["messages"]) == described
    assert channels["events"]["address"] == messages.EVENTS_PATH
    assert channels["audio"]["address"] == messages.AUDIO_PATH

    def names(node: Any) -> set[str]:
        return {reference["$ref"].rpartition("/")[2] for reference in node["messages"]}

    publish, listen = DOCUMENT["operations"]["publish"], DOCUMENT["operations"]["listen"]
    # As seen from the server.
    assert (publish["action"], names(publish)) == ("send", from_server)
    assert (listen["action"], names(listen)) == ("receive", described - from_server)
    assert names(listen["reply"]) == from_server
    for operation in (publish, listen, listen["reply"]):
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_the_examples_are_messages(example: messages.Message | messages.ClientMessage) -> None:
    name = str(type(example).__struct_config__.tag)
    (shown,) = DOCUMENT["components"]["messages"][name]["examples"]
    VALIDATOR.validate(shown["payload"])
    schema = DOCUMENT["components"]["messages"][name]["payload"] | {
        "components": DOCUMENT["components"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }
    jsonschema.validate(shown["payload"], schema)
    assert shown["payload"]["type"] == name
    data = json.dumps(shown["payload"])
    decoded = (
        messages.decode_client(data) if isinstance(example, messages.ClientMessage) else messages.decode(data)
    )
    assert decoded == example
    wrong = shown["payload"] | {"v": "1"}
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_there_is_an_example_of_every_message() -> None:
    assert {type(example) for example in EXAMPLES} == set(messages.EVERY_MESSAGE)


def test_the_query_is_what_the_server_understands() -> None:
    query = DOCUMENT["channels"]["events"]["bindings"]["ws"]["query"]
    assert set(query["properties"]) == set(_KEYS)
    assert all(described["description"] for described in query["properties"].values())
    asked = "stream=a&stream=b&types=prediction,segment&min_probability=0.5&since=600"
    assert parse_query(asked, datetime.now(UTC)).since is not None


def test_both_ways_to_be_let_in_are_described() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {
        scheme["$ref"].rpartition("/")[2] for scheme in DOCUMENT["servers"]["tonewatch"]["security"]
    } == set(schemes)
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["subprotocol"]["name"] == "Sec-WebSocket-Protocol"
