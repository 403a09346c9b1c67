"""The schema as documents for people and programs, made from the structs."""

from collections.abc import Collection
from typing import Any, Final, get_args

import msgspec

from realtime.messages.structs import (
    VERSION,
    BaseMessage,
    BaseServerMessage,
    ClientMessage,
    LatencyMs,
    Message,
)

EVERY_MESSAGE: Final = (*get_args(Message), *get_args(ClientMessage))
"""All message types: those of the server first."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a message, of a server or to one, each field with its meaning."""
    schema = msgspec.json.schema(Message | ClientMessage)
    for struct in (*EVERY_MESSAGE, LatencyMs):
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
    """Return Markdown: what all messages have, then one table per message type: field, JSON type, meaning."""
    of_all = ["type", *BaseMessage.__struct_fields__]
    of_servers = [name for name in BaseServerMessage.__struct_fields__ if name not in of_all]
    parts = [
        f"Every message has `{'` and `'.join(of_all)}`, and those of a server may have "
        f"`{'` and `'.join(of_servers)}`:\n\n" + "\n".join([*_HEAD, _TYPE, *_rows(BaseServerMessage)])
    ]
    for struct in EVERY_MESSAGE:
        rows = _rows(struct, without={*of_all, *of_servers})
        title = f"**`{struct.__struct_config__.tag}`**: {_summary(struct)}"
        parts.append("\n".join([title, "", *_HEAD, *rows] if rows else [title]))
    return "\n\n".join(parts) + "\n"


_HEAD: Final = ("| field | type | meaning |", "|---|---|---|")
_TYPE: Final = "| `type` | string | Which message it is: the names below. |"


def _rows(struct: type, without: Collection[str] = ()) -> list[str]:
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    meanings = _meanings(struct)
    rows = []
    for field in info.fields:
        if field.name in without:
            continue
        kind = _json_type(field.type)
        if field.default is None:
            kind = kind.replace(" or null", "")
        if not field.required and field.name != "v":
            kind += ", may be left out"
        rows.append(f"| `{field.encode_name}` | {kind} | {meanings[field.name]} |")
    return rows


def _summary(struct: type) -> str:
    return (struct.__doc__ or "").split("\n\n")[0]


def _meanings(struct: type) -> dict[str, str]:
    """Return the string that follows each field in the source, by field; Python itself forgets them."""
    import ast  # noqa: PLC0415 - only those who write documentation need it
    import inspect  # noqa: PLC0415

    meanings: dict[str, str] = {}
    for base in struct.__bases__:
        if base.__module__ == struct.__module__:
            meanings.update(_meanings(base))
    (definition,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(definition, ast.ClassDef)
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(meaning))):
                meanings[name] = " ".join(meaning.split())
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
