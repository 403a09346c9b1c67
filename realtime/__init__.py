"""Streaming recognition of emotions in speech.

`load` reads a model, `Recognizer` turns samples into events, `listen` iterates over the events of a
microphone or a file, `subscribe` over those of a server, `stream_audio` sends it audio.
"""

from __future__ import annotations

import importlib

# As type checkers know it: `typing` itself takes longer to import than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from realtime.classifier import Classifier, load
    from realtime.client import subscribe
    from realtime.errors import TonewatchError
    from realtime.estimator import Estimator
    from realtime.live import listen
    from realtime.recognizer import Recognizer
    from realtime.sender import stream_audio
    from realtime.types import Chunk, Event, Prediction, Segment, Smoothing, State, Status

_HOMES = {
    "Chunk": "types",
    "Classifier": "classifier",
    "Estimator": "estimator",
    "Event": "types",
    "Prediction": "types",
    "Recognizer": "recognizer",
    "Segment": "types",
    "Smoothing": "types",
    "State": "types",
    "Status": "types",
    "TonewatchError": "errors",
    "listen": "live",
    "load": "classifier",
    "stream_audio": "sender",
    "subscribe": "client",
}

__all__ = [
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


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that importing the package is cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'realtime' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"realtime.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
