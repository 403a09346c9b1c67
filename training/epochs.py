"""The epochs of a network's training: each follows from those before, so that any may be the last of a run.

Training that was interrupted goes on from the last epoch that was kept, and ends with the same weights, bit
for bit, as one that was not.
"""

from __future__ import annotations

import io
import math
import time
import zipfile
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime.errors import TrainingError
from training import networks
from training.adaptation import Voices, window_moments
from training.augmentation import vary_inputs
from training.disk import put
from training.interrupts import between_steps
from training.recipes.schema import Network
from training.targets import draw_known, make_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from realtime.types import FloatArray
    from training.recipes import Fitting, Recipe

_KEEP_EVERY_S = 10.0
"""Time between epochs that are kept on disk; an interrupt that reaches this process keeps the last one."""
_SMALLEST = 1e-7
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
)
"""What reading a damaged archive may raise."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """How training went up to the end of an epoch.

    Parameters
    ----------
    number
        From 1.
    loss, accuracy
        On the training rows, varied and with dropout.
    inner_loss, inner_accuracy
        On the inner part's windows.
    learning_rate
        The optimiser's.
    """

    number: int
    loss: float
    accuracy: float
    inner_loss: float
    inner_accuracy: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to train on, or to judge by.

    Parameters
    ----------
    inputs : np.ndarray [shape=(n, ...), dtype=float32]
        Selected and scaled.
    labels : np.ndarray [shape=(n,), dtype=int64]
        Their classes.
    known : np.ndarray [shape=(n, n_labels), dtype=bool]
        Classes between which each row tells anything: those that its corpus has, and those that it cannot be.
    weights : np.ndarray [shape=(n,), dtype=float32]
        What each counts.
    clips : np.ndarray [shape=(n,), dtype=int64]
        Which clip each comes from.
    copied : np.ndarray [shape=(n,), dtype=bool]
        Whether it comes from a varied copy of the clip.
    speakers : np.ndarray [shape=(n,), dtype=int64]
        Who speaks.
    intensities : np.ndarray [shape=(n,), dtype=float32]
        How strong the emotion is, 0 to 1; NaN where nobody says.
    """

    inputs: FloatArray
    labels: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    weights: FloatArray
    clips: npt.NDArray[np.int64]
    copied: npt.NDArray[np.bool_]
    speakers: npt.NDArray[np.int64]
    intensities: FloatArray


@dataclass(slots=True)
class _State:
    """Where training stands."""

    history: list[Epoch]
    best: list[npt.NDArray[Any]]
    """Weights after the best epoch."""
    now: list[npt.NDArray[Any]]
    """All variables after the last epoch: an interrupt comes in the middle of one."""


def train(
    recipe: Recipe,
    table: Table,
    *,
    seed: int,
    inner: Table | None = None,
    rates: Sequence[float] = (),
    watch: Callable[[Epoch], None] = lambda _epoch: None,
    kept: Path | None = None,
) -> tuple[Any, tuple[Epoch, ...]]:
    """Return a trained Keras network and its epochs.

    Parameters
    ----------
    recipe
        Says which network, and how it is trained.
    table
        On what.
    seed
        Of its weights, the variation of its inputs and the order of its rows.
    inner
        By which training stops, the learning rate falls, and the best epoch is chosen.
    rates
        Without an inner part: the learning rate of each epoch; the last epoch is the best.
    watch
        Told of each epoch, also of those kept from an interrupted training.
    kept
        File in which training is kept, so that it can go on after an interrupt, or is over at once. It is for
        the caller to remove when it has the model.

    Raises
    ------
    TrainingError
        Where the loss or a weight is no number any more, or the disk is full.
    """
    with between_steps():
        model = _compiled(recipe, table, seed)
    state = _resume(model, kept) or _State([], model.get_weights(), [])
    for epoch in state.history:
        watch(epoch)
    voices = None
    if recipe.speakers is not None:
        voices = Voices(window_moments(table.inputs), table.speakers, recipe.speakers, recipe.window_s)
    saved_at = time.monotonic()
    try:
        while (rate := _next_rate(recipe.fitting, state.history, rates)) is not None:
            number = len(state.history) + 1
            # Of the seed and the epoch alone, so that a resumed training draws the same.
            rng = np.random.default_rng([seed, number])
            order = rng.permutation(_draw(table, recipe.fitting, rng))
            inputs = table.inputs[order] if voices is None else voices.draw(table.inputs, order, rng)
            targets = _targets(table, order, recipe.fitting, rng)
            known = table.known[order]
            inputs, varied = vary_inputs(inputs, targets, recipe.augmentation.inputs, rng, known)
            model.optimizer.learning_rate.assign(rate)
            with between_steps() as callbacks:
                logs = model.fit(
                    inputs,
                    varied[:, :-1],
                    sample_weight=varied[:, -1],
                    batch_size=recipe.fitting.batch_size,
                    shuffle=False,
                    verbose=0,
                    callbacks=callbacks,
                ).history
            loss, accuracy = logs["loss"][0], logs["accuracy"][0]
            judged = (math.nan, math.nan) if inner is None else _judge(model, inner)
            epoch = Epoch(number, float(loss), float(accuracy), *judged, rate)
            _check_loss(epoch, recipe)
            _check_weights(model, epoch, recipe)
            if (
                inner is None
                or not state.history
                or epoch.inner_accuracy > best_epoch(state.history).inner_accuracy
            ):
                state.best = model.get_weights()
            # Both at once: an interrupt between them would keep an epoch without its weights.
            state.now, state.history = (
                [np.array(variable) for variable in _variables(model)],
                [*state.history, epoch],
            )
            watch(epoch)
            if kept is not None and time.monotonic() - saved_at > _KEEP_EVERY_S:
                _keep(state, kept)
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        if kept is not None and state.history:
            _keep(state, kept)
        raise
    model.set_weights(state.best)
    if kept is not None:
        # What is done is kept too: another training may follow, and be interrupted in its turn.
        _keep(state, kept)
    return model, tuple(state.history)


def _draw(table: Table, fitting: Fitting, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the rows of an epoch: all of them, or some of each clip.

    Some of each: copies are many, and a network that sees ten times as much of a long clip as of a short one
    learns more of the long one; what an epoch leaves out comes in another.
    """
    if not fitting.n_draws:
        return np.arange(len(table.labels))
    clips = np.unique(table.clips)
    drawn = []
    # By clip, those of the clip as it is in front.
    order = np.lexsort((table.copied, table.clips))
    first = np.searchsorted(table.clips[order], clips)
    n_all = np.diff(np.append(first, len(order)))
    n_plain = np.add.reduceat(~table.copied[order], first).astype(np.int64)
    for _ in range(fitting.n_draws):
        plain = rng.random(len(clips)) < fitting.plain_share
        plain = (plain & (n_plain > 0)) | (n_plain == n_all)
        n = np.where(plain, n_plain, n_all - n_plain)
        start = np.where(plain, first, first + n_plain)
        drawn.append(order[start + (rng.random(len(clips)) * n).astype(np.int64)])
    return np.concatenate(drawn)


def _targets(
    table: Table, rows: npt.NDArray[np.int64], fitting: Fitting, rng: np.random.Generator
) -> FloatArray:
    """Return what the loss compares an epoch's rows with."""
    labels, known = table.labels[rows], table.known[rows]
    if fitting.label_subsets:
        known = draw_known(labels, known, fitting.label_subsets, rng)
    return make_targets(labels, known, table.intensities[rows], table.weights[rows], fitting.label_smoothing)


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch whose weights are kept: the first of the highest accuracy on the inner part.

    By accuracy, not by loss: as the network grows surer of itself, the loss on the inner part rises from the
    first epochs on, while it still learns. The temperature takes the sureness back.
    """
    return max(history, key=lambda epoch: epoch.inner_accuracy)


def _next_rate(fitting: Fitting, history: Sequence[Epoch], rates: Sequence[float]) -> float | None:
    """Return the next epoch's learning rate, or None where training is over."""
    n_done = len(history)
    if rates:
        return rates[n_done] if n_done < len(rates) else None
    if n_done >= fitting.n_epochs:
        return None
    if history and n_done - best_epoch(history).number >= fitting.patience:
        return None
    if fitting.schedule == "cosine":
        return fitting.learning_rate * 0.5 * (1 + math.cos(math.pi * n_done / fitting.n_epochs))
    if fitting.schedule == "constant" or not history:
        return fitting.learning_rate
    # Epochs since the best one or since the rate last fell, whichever is later.
    rate = history[-1].learning_rate
    since = next((e.number for e in history if e.learning_rate == rate), 1) - 1
    waited = n_done - max(since, best_epoch(history).number)
    return rate * fitting.rate_factor if waited >= fitting.rate_patience else rate


def _compiled(recipe: Recipe, table: Table, seed: int) -> Any:  # noqa: ANN401 - a Keras model
    tensorflow = networks.load_tensorflow()
    keras = tensorflow.keras
    keras.backend.clear_session()
    networks.seed_everything(seed)
    n_labels = table.known.shape[1]
    assert isinstance(recipe.model, Network)
    model = networks.build(
        recipe.model,
        table.inputs.shape[1:],
        n_labels,
        recipe.features.families,
        with_intensity=recipe.tells_intensity,
    )

    def split(targets: Any) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
        known = targets[:, n_labels : 2 * n_labels]
        return targets[:, :n_labels], tensorflow.cast(known > 0, targets.dtype)

    def masked_cross_entropy(targets: Any, outputs: Any) -> Any:  # noqa: ANN401 - tensors
        # Not among classes that its corpus lacks: that a room is never heard with disgust must not teach that
        # it means no disgust.
        wanted, known = split(targets)
        probabilities = outputs[:, :n_labels] * known
        probabilities /= tensorflow.reduce_sum(probabilities, axis=-1, keepdims=True) + _SMALLEST
        loss = -tensorflow.reduce_sum(wanted * tensorflow.math.log(probabilities + _SMALLEST), axis=-1)
        return loss + _intensity_loss(targets, outputs) if recipe.tells_intensity else loss

    def _intensity_loss(targets: Any, outputs: Any) -> Any:  # noqa: ANN401 - tensors
        # Of rows whose intensity is known; mixup makes shares of both.
        told, found = targets[:, -1], outputs[:, -1]
        intensity = targets[:, -2] / (told + _SMALLEST)
        log = tensorflow.math.log
        entropy = intensity * log(found + _SMALLEST) + (1 - intensity) * log(1 - found + _SMALLEST)
        return -recipe.fitting.intensity * told * entropy

    def accuracy(targets: Any, outputs: Any) -> Any:  # noqa: ANN401 - tensors
        wanted, known = split(targets)
        right = tensorflow.equal(
            tensorflow.argmax(wanted, axis=-1), tensorflow.argmax(outputs[:, :n_labels] * known, axis=-1)
        )
        return tensorflow.cast(right, tensorflow.float32)

    model.compile(_optimiser(recipe.fitting), loss=masked_cross_entropy, metrics=[accuracy])
    model.optimizer.build(model.trainable_variables)
    return model


def _optimiser(fitting: Fitting) -> Any:  # noqa: ANN401 - a Keras optimiser
    optimisers = networks.load_tensorflow().keras.optimizers
    if fitting.optimiser == "adamw":
        return optimisers.AdamW(fitting.learning_rate, weight_decay=fitting.weight_decay)
    if fitting.optimiser == "sgd":
        return optimisers.SGD(fitting.learning_rate, momentum=0.9, nesterov=True)
    return optimisers.Adam(fitting.learning_rate)


def _judge(model: Any, inner: Table) -> tuple[float, float]:  # noqa: ANN401 - a Keras model
    """Return loss and accuracy on the inner part, among the classes of each row's corpus."""
    probabilities = run(model, inner.inputs)[:, : inner.known.shape[1]] * inner.known
    probabilities /= probabilities.sum(axis=1, keepdims=True) + _SMALLEST
    rows = np.arange(len(inner.labels))
    loss = -np.log(probabilities[rows, inner.labels] + _SMALLEST).mean()
    return float(loss), float((probabilities.argmax(axis=1) == inner.labels).mean())


def run(model: Any, inputs: FloatArray) -> FloatArray:  # noqa: ANN401 - a Keras model
    """Return what a Keras network gives: untempered probabilities, and an intensity where it tells one.

    Returns
    -------
    np.ndarray [shape=(n, n_labels) or (n, n_labels + 1), dtype=float32]
    """
    with between_steps():
        return np.asarray(model.predict(inputs, batch_size=512, verbose=0), dtype=np.float32)


def _check_loss(epoch: Epoch, recipe: Recipe) -> None:
    if math.isfinite(epoch.loss):
        return
    raise TrainingError(
        f"recipe {recipe.name}: the loss is {epoch.loss} in epoch {epoch.number}, at a learning rate of "
        f"{epoch.learning_rate:g}; wanted a finite number: lower fitting.learning_rate in the recipe"
    )


def _check_weights(model: Any, epoch: Epoch, recipe: Recipe) -> None:  # noqa: ANN401 - a Keras model
    # An epoch's last step may have gone astray, which its loss does not know.
    if all(np.isfinite(weights).all() for weights in model.get_weights()):
        return
    raise TrainingError(
        f"recipe {recipe.name}: weights are no finite numbers after epoch {epoch.number}, at a learning rate "
        f"of {epoch.learning_rate:g}; wanted finite ones: lower fitting.learning_rate in the recipe"
    )


def _keep(state: _State, path: Path) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        "history": np.asarray([astuple(epoch) for epoch in state.history], dtype=np.float64),
        **{f"now_{i:03d}": value for i, value in enumerate(state.now)},
        **{f"best_{i:03d}": value for i, value in enumerate(state.best)},
    }
    # By way of memory: on a full disk, an archive that is written piece by piece fails again as it is closed.
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    try:
        put(path, packed.getvalue())
    except OSError as error:
        raise TrainingError(
            f"{path}: {error.strerror}; wanted to keep the training so far there: free some space, or give "
            "another folder with --cache"
        ) from None


def _resume(model: Any, path: Path | None) -> _State | None:  # noqa: ANN401 - a Keras model
    """Give the model the state that was kept, and return the rest of it; None where there is none."""
    if path is None or not path.exists():
        return None
    try:
        # Opened here: what np.load opens itself stays open where the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        now = [arrays[name] for name in sorted(arrays) if name.startswith("now_")]
        best = [arrays[name] for name in sorted(arrays) if name.startswith("best_")]
        history = [Epoch(int(row[0]), *row[1:].tolist()) for row in arrays["history"]]
    except DAMAGED:
        return None
    variables = _variables(model)
    # Before the first is assigned: half of another network's weights would be no fresh start.
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in now]:
        return None
    for variable, value in zip(variables, now, strict=True):
        variable.assign(value)
    return _State(history, best, now)


def _variables(model: Any) -> list[Any]:  # noqa: ANN401 - a Keras model
    """Return everything that training changes: weights, the optimiser's moments, the seeds of dropout."""
    seeds = [
        generator.state for layer in model.layers for generator in getattr(layer, "_seed_generators", ())
    ]
    known = {id(variable) for variable in model.variables}
    return [
        *model.variables,
        *(seed for seed in seeds if id(seed) not in known),
        *model.optimizer.variables,
    ]
