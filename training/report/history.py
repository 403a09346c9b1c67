"""The epochs as data: ``history.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from training.epochs import best_epoch

if TYPE_CHECKING:
    from training.report.data import ReportData, Value

FORMAT_VERSION = 1


class EpochRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch; values that are not finite become null, since JSON has no word for them."""

    number: int
    """From 1."""
    loss: float | None
    accuracy: float | None
    inner_loss: float | None
    inner_accuracy: float | None
    learning_rate: float | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """How a model was trained."""

    format_version: int
    name: str
    recipe: str
    command: str
    seed: int
    corpora: list[str]
    versions: dict[str, str]
    n_networks: int = 1
    """How many were trained to be asked together; the epochs are the first one's."""
    best_epoch: int | None
    """The one whose weights were kept; null where there are no epochs."""
    settings: dict[str, str | int | float | bool]
    epochs: list[EpochRecord]


def history_of(data: ReportData) -> History:
    """Return the epochs with what led to them."""
    training = data.card.training
    settings: dict[str, Value] = {setting.name: setting.value for setting in data.settings}
    return History(
        format_version=FORMAT_VERSION,
        name=data.name,
        recipe=training.recipe,
        command=training.command,
        seed=training.seed,
        corpora=training.corpora,
        versions=training.versions,
        n_networks=data.n_networks,
        best_epoch=best_epoch(data.history).number if data.history else None,
        settings=settings,
        epochs=msgspec.convert(data.history, list[EpochRecord], from_attributes=True),
    )


def encode(history: History) -> bytes:
    """Return the history as JSON text for people and programs."""
    return msgspec.json.format(msgspec.json.encode(history), indent=1) + b"\n"
