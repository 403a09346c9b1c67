"""Trains one model on parts of a split: selection, balancing, scaling, the model itself, its temperature."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from realtime.errors import TrainingError
from realtime.loaded import SMALLEST, temper
from training import networks
from training.adaptation import follow_clips
from training.epochs import Epoch, Table, best_epoch, run, train
from training.estimators import fit_estimator, predict_estimator
from training.preprocess import apply, balance, scale, select
from training.recipes.schema import Estimator, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from realtime.artifact import Preprocessing
    from realtime.types import FloatArray
    from training.dataset import Windows
    from training.recipes import Recipe
    from training.splits import Split

_TEMPERATURES = np.geomspace(0.25, 8.0, 401)
_SEEDS_APART = 1000
"""From one member's seed to the next one's: no two models of an evaluation share one."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What models are trained on and judged by.

    Parameters
    ----------
    windows
        Of all clips.
    labels : np.ndarray [shape=(n_clips,), dtype=int64]
        Class of each clip.
    known : np.ndarray [shape=(n_clips, n_labels), dtype=bool]
        Classes between which the clip tells anything: those that its corpus has, and those that it cannot be.
    speakers : np.ndarray [shape=(n_clips,), dtype=int64]
        Number of each clip's speaker.
    intensities : np.ndarray [shape=(n_clips,), dtype=float32]
        How strong each clip's emotion is: 0 or 1, NaN where nobody says.
    """

    windows: Windows
    labels: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    speakers: npt.NDArray[np.int64]
    intensities: FloatArray


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Parameters
    ----------
    preprocessing
        From a feature vector to the model's input.
    weights
        A network's, in Keras's order, one member's after the other's; of an estimator its skops archive, as
        one array of bytes.
    temperature
        What its logits are divided by.
    n_windows
        Number of windows that it was trained on, each counted once.
    importances : np.ndarray [shape=(n_selected,), dtype=float32]
        Of the selected features, where they were ranked; empty otherwise.
    inner_probabilities : np.ndarray [shape=(n_inner, n_labels), dtype=float32]
        Tempered, of the inner part's windows, from before it was trained on itself.
    history
        The epochs, of the first member and of its first training; empty for an estimator.
    """

    preprocessing: Preprocessing
    weights: tuple[npt.NDArray[Any], ...]
    temperature: float
    n_windows: int
    importances: FloatArray
    inner_probabilities: FloatArray
    history: tuple[Epoch, ...]


def fit(
    recipe: Recipe,
    examples: Examples,
    split: Split,
    *,
    seed: int,
    watch: Callable[[Epoch], None] = lambda _epoch: None,
    kept: Path | None = None,
) -> Fitted:
    """Train on the split's training part; look at its inner part to stop; never look at its test part.

    Where the recipe says `refit`, the number of epochs and the learning rates that this finds are then used
    to train again, on both parts.

    Parameters
    ----------
    recipe
        How.
    examples
        All of them.
    split
        Which clips are for what.
    seed
        Of everything random.
    watch
        Told of each epoch.
    kept
        File in which a network's training is kept, so that an interrupted one goes on: to `forget` once the
        model is safe.

    Raises
    ------
    TrainingError
        Where a part holds no window with a voice, the loss is no number any more, or the disk is full.
    """
    prepared = _prepare(recipe, examples, split.train, seed=seed)
    inner = _inner_table(recipe, examples, split.inner, prepared.preprocessing)
    if recipe.is_network:
        found = _train_members(recipe, prepared.table, seed, inner=inner, watch=watch, kept=kept)
        raw, weights, histories = found.probabilities, found.weights, found.histories
    else:
        histories = ()
        weights = _fit_estimator(recipe, prepared.table, seed)
        raw = _run_estimator(weights, inner.inputs, len(recipe.labels))
    raw = raw[:, : len(recipe.labels)]
    # Among the classes of each row's corpus: what the others get was never learnt.
    temperature = fit_temperature(raw * inner.known, inner.labels)
    if recipe.fitting.refit:
        both = np.union1d(split.train, split.inner)
        prepared = _prepare(recipe, examples, both, seed=seed)
        if recipe.is_network:
            rates = [[e.learning_rate for e in own[: best_epoch(own).number]] for own in histories]
            again = None if kept is None else _again(kept)
            weights = _train_members(recipe, prepared.table, seed, rates=rates, kept=again).weights
        else:
            weights = _fit_estimator(recipe, prepared.table, seed)
    return Fitted(
        preprocessing=prepared.preprocessing,
        weights=tuple(np.asarray(array) for array in weights),
        temperature=temperature,
        n_windows=prepared.n_windows,
        importances=prepared.importances,
        inner_probabilities=temper(raw, temperature),
        history=histories[0] if histories else (),
    )


@dataclass(frozen=True, slots=True)
class _Members:
    """Networks that were trained to be asked together.

    Parameters
    ----------
    weights
        One member's after the other's.
    probabilities : np.ndarray [shape=(n_inner, n_labels), dtype=float32]
        Their mean, of the inner part's windows, with an intensity behind where they tell one; empty without
        an inner part.
    histories
        Each one's epochs.
    """

    weights: list[npt.NDArray[Any]]
    probabilities: FloatArray
    histories: tuple[tuple[Epoch, ...], ...]


def _train_members(
    recipe: Recipe,
    table: Table,
    seed: int,
    *,
    inner: Table | None = None,
    rates: Sequence[Sequence[float]] = (),
    watch: Callable[[Epoch], None] = lambda _epoch: None,
    kept: Path | None = None,
) -> _Members:
    """Train a recipe's networks, one after the other; errors and arguments are those of `train`."""
    weights: list[npt.NDArray[Any]] = []
    histories, judged = [], []
    for number, member in enumerate(recipe.members):
        assert isinstance(member, Network)
        model, history = train(
            replace(recipe, model=member),
            table,
            seed=seed + _SEEDS_APART * number,
            inner=inner,
            rates=rates[number] if rates else (),
            watch=watch,
            kept=None if kept is None else _of_member(kept, number),
        )
        weights += model.get_weights()
        histories.append(history)
        if inner is not None:
            judged.append(run(model, inner.inputs))
    mean = np.mean(judged, axis=0, dtype=np.float32) if judged else np.zeros((0, 0), dtype=np.float32)
    return _Members(weights, mean, tuple(histories))


def forget(kept: Path) -> None:
    """Remove what a fit kept so that it could go on: it is done, or not wanted any more."""
    for path in (kept, _again(kept)):
        path.unlink(missing_ok=True)
        for other in path.parent.glob(f"{glob.escape(path.stem)}.member-*.npz"):
            other.unlink(missing_ok=True)


def _again(kept: Path) -> Path:
    """Return where the second training of a refit is kept."""
    return kept.with_suffix(".again.npz")


def _of_member(kept: Path, number: int) -> Path:
    """Return where the training of one of several networks is kept."""
    return kept.with_suffix(f".member-{number + 1}.npz") if number else kept


def rebuild(recipe: Recipe, fitted: Fitted, n_frames: int) -> Any:  # noqa: ANN401 - a Keras model
    """Return the trained Keras network, from scaled features to untempered probabilities and an intensity.

    Parameters
    ----------
    recipe, fitted
        The network.
    n_frames
        Of its window, where it sees frames.
    """
    n_selected = len(fitted.preprocessing.selected)
    shape = (n_frames, n_selected) if recipe.sees_frames else (n_selected,)
    assert isinstance(recipe.model, Network)
    model = networks.build(
        recipe.model,
        shape,
        len(recipe.labels),
        recipe.features.families,
        with_intensity=recipe.tells_intensity,
    )
    networks.set_weights(model, fitted.weights)
    return model


def predict(recipe: Recipe, fitted: Fitted, inputs: FloatArray) -> FloatArray:
    """Return the tempered probabilities [shape=(n, n_labels), dtype=float32] of scaled inputs.

    Parameters
    ----------
    recipe, fitted
        The model.
    inputs : np.ndarray [shape=(n, ...), dtype=float32]
        Selected and scaled features: `fitted.preprocessing` gives them.
    """
    return predict_both(recipe, fitted, inputs)[0]


def predict_both(recipe: Recipe, fitted: Fitted, inputs: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Return the tempered probabilities of scaled inputs, and how strong each emotion is.

    Arguments are those of `predict`.

    Returns
    -------
    probabilities : np.ndarray [shape=(n, n_labels), dtype=float32]
    intensities : np.ndarray [shape=(n,), dtype=float32]
        From 0 to 1; None of a model that does not tell them.
    """
    n_labels = len(recipe.labels)
    if not len(inputs):
        raw = np.zeros((0, n_labels + recipe.tells_intensity), dtype=np.float32)
    elif recipe.is_network:
        raw = run(rebuild(recipe, fitted, inputs.shape[1]), inputs)
    else:
        raw = _run_estimator(fitted.weights, inputs, n_labels)
    return take_apart(recipe, fitted, raw)


def take_apart(recipe: Recipe, fitted: Fitted, raw: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Return tempered probabilities and intensities of what a model gave, as `predict_both` does."""
    probabilities = raw[:, : len(recipe.labels)]
    tempered = temper(probabilities, fitted.temperature) if len(raw) else probabilities
    return tempered, raw[:, -1] if recipe.tells_intensity else None


def fit_temperature(probabilities: FloatArray, labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature at which the true labels are the likeliest, from 0.25 to 8.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_labels)]
        Untempered, of the inner part; 0 for classes that are out of the question.
    labels : np.ndarray [shape=(n,), dtype=int64]
        Its classes.
    """
    rows = np.arange(len(labels))
    losses = [
        -np.log(np.maximum(temper(probabilities, temperature)[rows, labels], SMALLEST)).mean()
        for temperature in _TEMPERATURES
    ]
    return float(round(_TEMPERATURES[int(np.argmin(losses))], 4))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a model is trained on.

    Parameters
    ----------
    preprocessing
        Learnt on these clips.
    table
        Selected, scaled, balanced.
    n_windows
        Number of windows before balancing.
    importances : np.ndarray [shape=(n_selected,), dtype=float32]
        Empty where features were not ranked.
    """

    preprocessing: Preprocessing
    table: Table
    n_windows: int
    importances: FloatArray


def _prepare(recipe: Recipe, examples: Examples, clips: npt.NDArray[np.int64], *, seed: int) -> _Prepared:
    windows = examples.windows
    rows = windows.rows(clips, copies=True)
    if not len(rows):
        raise TrainingError(
            f"recipe {recipe.name}: no voice is heard in the {len(clips)} clips to train on; wanted "
            "recordings of speech or song"
        )
    of_row = examples.labels[windows.clip[rows]]
    # Where none is selected, nobody looks at them.
    shown = rows[:0] if recipe.selection.method == "none" else rows
    chosen = select(windows.features[shown], of_row, recipe.selection, seed=seed)
    balanced, weights = balance(of_row, recipe.balance, seed=seed)
    taken = rows[balanced]
    preprocessing = scale(windows.features, taken, chosen.indices)
    clip = windows.clip[taken]
    table = Table(
        apply(preprocessing, windows.features, taken),
        of_row[balanced],
        examples.known[clip],
        weights,
        clip,
        windows.copy[taken] > 0,
        examples.speakers[clip],
        examples.intensities[clip],
    )
    return _Prepared(preprocessing, table, len(rows), chosen.importances)


def _inner_table(
    recipe: Recipe, examples: Examples, clips: npt.NDArray[np.int64], preprocessing: Preprocessing
) -> Table:
    # Judged as it will run: the clips as they are.
    windows = examples.windows
    rows = windows.rows(clips, copies=False)
    if not len(rows):
        raise TrainingError(
            f"no voice is heard in the {len(clips)} clips that training is stopped by; wanted recordings of "
            "speech or song"
        )
    clip = windows.clip[rows]
    return Table(
        inputs_of(recipe, preprocessing, windows, rows),
        examples.labels[clip],
        examples.known[clip],
        np.ones(len(rows), dtype=np.float32),
        clip,
        np.zeros(len(rows), dtype=np.bool_),
        examples.speakers[clip],
        examples.intensities[clip],
    )


def inputs_of(
    recipe: Recipe,
    preprocessing: Preprocessing,
    windows: Windows,
    rows: npt.NDArray[np.int64],
    *,
    speaker: npt.NDArray[np.int64] | None = None,
) -> FloatArray:
    """Return what a model sees of windows where it runs [dtype=float32].

    Parameters
    ----------
    recipe
        Says whether the model gets used to speakers.
    preprocessing
        From features to scaled inputs.
    windows
        Of all clips.
    rows : np.ndarray [shape=(n,), dtype=int64]
        Which of them: of clips as they are, in order of time.
    speaker : np.ndarray [shape=(n,), dtype=int64]
        Who speaks, where the speaker's other clips were heard before each.
    """
    inputs = apply(preprocessing, windows.features, rows)
    if recipe.speakers is None:
        return inputs
    return follow_clips(
        inputs,
        windows.clip[rows],
        rows,
        recipe.speakers,
        window_s=recipe.window_s,
        hop_s=recipe.hop_s,
        speaker=speaker,
    )


def _fit_estimator(recipe: Recipe, table: Table, seed: int) -> list[npt.NDArray[Any]]:
    assert isinstance(recipe.model, Estimator)
    weights = table.weights if recipe.balance == "class-weights" else None
    archive = fit_estimator(
        recipe.model, table.inputs, table.labels, len(recipe.labels), seed=seed, weights=weights
    )
    return [np.frombuffer(archive, dtype=np.uint8)]


def _run_estimator(weights: Sequence[npt.NDArray[Any]], inputs: FloatArray, n_labels: int) -> FloatArray:
    probabilities = predict_estimator(weights[0].tobytes(), inputs)
    assert probabilities.shape[1] == n_labels
    return probabilities
