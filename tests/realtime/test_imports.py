"""Who may import whom, what an import drags in, and which names are public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import realtime

PACKAGE = Path(realtime.__file__).parent
FORBIDDEN = {"training", "tensorflow", "keras", "librosa", "sklearn", "scipy", "numba"}

# A part, by the beginning of its name, and the parts of `realtime` it may import. The rest is free.
MAY_IMPORT = {
    "types": set[str](),
    "errors": set[str](),
    "features": {"features", "errors"},
    "activity": {"types", "features"},
    "decision": {"types", "errors"},
    "samples": {"types", "errors"},
    "recognizer": {"types", "errors", "features", "decision", "activity", "samples", "speaker"},
    "speaker": {"types"},
    "affect": {"types"},
    "run": {"types"},
    "card": {"types", "errors", "features", "speaker"},
    "preprocessing": {"types", "errors", "features", "card"},
    "artifact": {"types", "errors", "features", "card", "preprocessing"},
    "loaded": {"types", "features", "artifact", "speaker"},
    "voting": {"types"},
    "heap": set[str](),
    "classifier": {"types", "errors", "heap", "artifact", "loaded", "estimator"},
    "estimator": {"types", "errors", "preprocessing", "artifact", "loaded", "voting"},
    "ring": {"types", "errors"},
    "dating": {"types"},
    "sources": {"sources", "types", "errors", "ring"},
    "messages": {"messages", "types", "errors", "affect"},
    "sinks": {"sinks", "server", "messages", "types", "errors", "affect"},
    # A server is a recognizer for each who sends.
    "server": {
        "server",
        "messages",
        "types",
        "errors",
        "recognizer",
        "samples",
        "sources",
        "config",
        "dating",
        "features",
        "speaker",
    },
    "connection": {"messages", "errors"},
    "client": {"connection", "messages", "errors"},
    "backlog": set[str](),
    "sender": {"backlog", "client", "connection", "messages", "types", "errors"},
    "background": set[str](),
    "remote": {"background", "sender", "messages", "types"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "models" not in path.parts)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_design(path: Path) -> None:
    names = imported(path)
    tops = {name.partition(".")[0] for name in names}
    assert not tops & FORBIDDEN
    allowed = MAY_IMPORT.get(part(path))
    if allowed is None:
        return
    homes = {name.split(".")[1] for name in names if name.startswith("realtime.")}
    known = {part(module) for module in modules()}
    assert homes & known <= allowed, f"{path} imports {homes & known - allowed}"
    if part(path) == "features":
        outside = tops - {"realtime", "numpy", "__future__"} - sys.stdlib_module_names
        assert not outside


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_is_cheap() -> None:
    loaded = loaded_after("import realtime")
    assert not loaded & (FORBIDDEN | {"sounddevice", "websockets", "numpy", "rich", "msgspec", "soundfile"})


def test_using_the_core_loads_no_training_stack() -> None:
    statement = (
        "import realtime; realtime.Recognizer, realtime.load, realtime.listen, realtime.subscribe, "
        "realtime.stream_audio"
    )
    unwanted = FORBIDDEN | {"sounddevice", "tflite_runtime", "ai_edge_litert", "websockets"}
    assert not loaded_after(statement) & unwanted


def test_the_commands_flags_are_cheap() -> None:
    loaded = loaded_after("from realtime.cli import _parser; _parser()")
    assert not loaded & (FORBIDDEN | {"sounddevice", "websockets", "numpy", "rich", "msgspec", "soundfile"})


def test_public_names() -> None:
    assert sorted(realtime.__all__) == [
        "Chunk",
        "Classifier",
        "Estimator",
        "Event",
        "Prediction",
        "Recognizer",
        "Segment",
        "Smoothing",
        "State",
        "Status",
        "TonewatchError",
        "listen",
        "load",
        "stream_audio",
        "subscribe",
    ]
    for name in realtime.__all__:
        assert getattr(realtime, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lisen'"):
        _ = realtime.lisen
