"""Trains one model: selection, balancing, scaling, network and temperature, on two parts of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training import networks
from training.preprocess import oversample, scale, select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime.artifact import Preprocessing
    from realtime.types import FloatArray
    from training.dataset import Windows
    from training.recipes import Recipe
    from training.splits import Split

_TEMPERATURES = np.geomspace(0.25, 8.0, 401)
_SMALLEST = np.float32(1e-12)
"""What probabilities are raised to before their logarithm, as `realtime.classifier` does."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """How training went up to the end of an epoch.

    Parameters
    ----------
    number
        From 1.
    loss, accuracy
        On the training rows, with dropout.
    inner_loss, inner_accuracy
        On the inner part's windows.
    learning_rate
        Adam's.
    """

    number: int
    loss: float
    accuracy: float
    inner_loss: float
    inner_accuracy: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Parameters
    ----------
    preprocessing
        From a feature vector to the network's input.
    weights
        The network's, in Keras's order.
    temperature
        What its logits are divided by.
    n_windows
        Number of windows that it was trained on, each counted once.
    inner_probabilities : np.ndarray [shape=(n_inner, n_labels), dtype=float32]
        Tempered, of the inner part's windows, from before it was trained on itself.
    history
        The epochs, of the first training where there were two.
    """

    preprocessing: Preprocessing
    weights: tuple[npt.NDArray[Any], ...]
    temperature: float
    n_windows: int
    inner_probabilities: FloatArray
    history: tuple[Epoch, ...]


def fit(
    recipe: Recipe,
    windows: Windows,
    labels: npt.NDArray[np.int64],
    split: Split,
    *,
    seed: int,
    watch: Callable[[Epoch], None] = lambda _epoch: None,
) -> Fitted:
    """Train on the split's training part; look at its inner part to stop; never look at its test part.

    Where the recipe says `refit`, the number of epochs and the learning rates that this finds are then used
    to train again, on both parts.

    Parameters
    ----------
    recipe
        How.
    windows
        Of all clips.
    labels : np.ndarray [shape=(n_clips,), dtype=int64]
        Class of each clip.
    split
        Which clips are for what.
    seed
        Of everything random.
    watch
        Told of each epoch.
    """
    train = _prepare(recipe, windows, labels, split.train, seed=seed)
    # Judged as it will run: the clips as they are.
    rows = windows.rows(split.inner, copies=False)
    inner_input, inner_labels = train.preprocessing(windows.features[rows]), labels[windows.clip[rows]]
    model, history = _train(recipe, train, seed=seed, inner=(inner_input, inner_labels), watch=watch)
    raw = _run(model, inner_input)
    temperature = fit_temperature(raw, inner_labels)
    if recipe.fitting.refit:
        best = max(history, key=lambda epoch: epoch.inner_accuracy)
        rates = [epoch.learning_rate for epoch in history[: best.number]]
        both = np.union1d(split.train, split.inner)
        train = _prepare(recipe, windows, labels, both, seed=seed)
        model, _ = _train(recipe, train, seed=seed, rates=rates)
    weights = tuple(np.asarray(array) for array in model.get_weights())
    return Fitted(
        train.preprocessing, weights, temperature, train.n_windows, temper(raw, temperature), history
    )


def rebuild(recipe: Recipe, fitted: Fitted) -> Any:  # noqa: ANN401 - a Keras model
    """Return the trained Keras network, from scaled features to untempered probabilities."""
    model = networks.build(recipe, len(fitted.preprocessing.selected))
    model.set_weights(list(fitted.weights))
    return model


def predict(recipe: Recipe, fitted: Fitted, features: FloatArray) -> FloatArray:
    """Return the tempered probabilities [shape=(n, n_labels), dtype=float32] of features, by Keras."""
    if not len(features):
        return np.zeros((0, len(recipe.labels)), dtype=np.float32)
    raw = _run(rebuild(recipe, fitted), fitted.preprocessing(features))
    return temper(raw, fitted.temperature)


def temper(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities as if the logits had been divided by `temperature` before the softmax.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017.
    """
    logits = np.log(np.maximum(probabilities, _SMALLEST)) / np.float32(temperature)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def fit_temperature(probabilities: FloatArray, labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature at which the true labels are the likeliest, from 0.25 to 8.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels)]
        Untempered, of the inner part.
    labels : np.ndarray [shape=(n,), dtype=int64]
        Its classes.
    """
    rows = np.arange(len(labels))
    losses = [
        -np.log(np.maximum(temper(probabilities, temperature)[rows, labels], _SMALLEST)).mean()
        for temperature in _TEMPERATURES
    ]
    return float(round(_TEMPERATURES[int(np.argmin(losses))], 4))


def _run(model: Any, inputs: FloatArray) -> FloatArray:  # noqa: ANN401 - a Keras model
    return np.asarray(model.predict(inputs, batch_size=1024, verbose=0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a network is trained on.

    Parameters
    ----------
    preprocessing
        Learnt on these clips.
    inputs : np.ndarray [shape=(n, n_selected), dtype=float32]
        Selected, scaled, balanced.
    labels : np.ndarray [shape=(n,), dtype=int64]
        Their classes.
    n_windows
        Number of windows before balancing.
    """

    preprocessing: Preprocessing
    inputs: FloatArray
    labels: npt.NDArray[np.int64]
    n_windows: int


def _prepare(
    recipe: Recipe,
    windows: Windows,
    labels: npt.NDArray[np.int64],
    clips: npt.NDArray[np.int64],
    *,
    seed: int,
) -> _Prepared:
    rows = windows.rows(clips, copies=True)
    features, of_row = windows.features[rows], labels[windows.clip[rows]]
    selected = select(features, of_row, recipe.selection, seed=seed)
    balanced = oversample(of_row, seed=seed) if recipe.balance == "oversample" else np.arange(len(rows))
    preprocessing = scale(features[balanced], selected)
    return _Prepared(preprocessing, preprocessing(features)[balanced], of_row[balanced], len(rows))


def _train(
    recipe: Recipe,
    train: _Prepared,
    *,
    seed: int,
    inner: tuple[FloatArray, npt.NDArray[np.int64]] | None = None,
    rates: Sequence[float] = (),
    watch: Callable[[Epoch], None] = lambda _epoch: None,
) -> tuple[Any, tuple[Epoch, ...]]:
    """Return a trained network and its epochs.

    Parameters
    ----------
    recipe
        Says which network, and how it is trained.
    train
        On what.
    seed
        Of its weights, its noise and the order of its rows.
    inner
        Inputs and classes by which training stops and the learning rate falls.
    rates
        Without an inner part: the learning rate of each epoch.
    watch
        Told of each epoch.
    """
    keras = networks.load_tensorflow().keras
    keras.backend.clear_session()
    networks.seed_everything(seed)
    fitting, n_labels = recipe.fitting, len(recipe.labels)
    model = networks.build(recipe, train.inputs.shape[-1])
    model.compile(
        keras.optimizers.Adam(fitting.learning_rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=fitting.label_smoothing),
        metrics=["accuracy"],
    )
    history: list[Epoch] = []

    def note(number: int, logs: dict[str, float]) -> None:
        epoch = Epoch(
            number + 1,
            float(logs["loss"]),
            float(logs["accuracy"]),
            float(logs["val_loss"]),
            float(logs["val_accuracy"]),
            float(model.optimizer.learning_rate.numpy()),
        )
        history.append(epoch)
        watch(epoch)

    if inner is None:
        callbacks = [keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch])]
    else:
        # By accuracy, not by loss: as the network grows surer of itself, the loss on the inner part rises
        # from the first epochs on, while it still learns. The temperature takes the sureness back.
        by = {"monitor": "val_accuracy", "mode": "max"}
        callbacks = [
            # First, so that it sees the rate that the epoch was trained with.
            keras.callbacks.LambdaCallback(on_epoch_end=note),
            keras.callbacks.EarlyStopping(**by, patience=fitting.patience, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau(
                **by, patience=fitting.rate_patience, factor=fitting.rate_factor
            ),
        ]
    model.fit(
        train.inputs,
        _one_hot(train.labels, n_labels),
        batch_size=fitting.batch_size,
        epochs=len(rates) if inner is None else fitting.n_epochs,
        validation_data=None if inner is None else (inner[0], _one_hot(inner[1], n_labels)),
        validation_batch_size=1024,
        callbacks=callbacks,
        verbose=0,
    )
    return model, tuple(history)


def _one_hot(labels: npt.NDArray[np.int64], n_labels: int) -> FloatArray:
    return np.eye(n_labels, dtype=np.float32)[labels]
