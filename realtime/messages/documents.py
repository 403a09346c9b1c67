"""The schema as documents for people and programs, made from the structs."""

from typing import Any, Final, get_args

import msgspec

from realtime.messages.structs import VERSION, ClientMessage, LatencyMs, Message

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
    """Return one Markdown table per message type: field, JSON type, meaning."""
    parts = []
    for struct in EVERY_MESSAGE:
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
                kind = kind.replace(" or null", "")
            if not field.required and field.name != "v":
                kind += ", may be left out"
            lines.append(f"| `{field.encode_name}` | {kind} | {meanings[field.name]} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


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
