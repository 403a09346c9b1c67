"""What is searched where nobody says: the keys that matter most for each kind of model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.recipes.schema import (
    Conv,
    Conv2dGruAttention,
    ConvGruAttention,
    ConvLstm,
    Dense,
    Ensemble,
    Forest,
    Lstm,
    Neighbours,
    Svm,
)
from training.search.space import Between, Choices, Dimension, Space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.recipes import Recipe
    from training.recipes.schema import Block, Estimator, Layer, Network

_UNITS = Choices(choices=(32, 64, 96, 128, 192, 256, 384, 512))
_FILTERS = Choices(choices=(32, 48, 64, 96, 128, 192, 256))
_CELLS = Choices(choices=(32, 48, 64, 96, 128))
_DROPOUT = Between(low=0.0, high=0.6, step=0.05)
_LEAST_FEATURES = 16


def default_space(recipe: Recipe) -> Space:
    """Return what is searched for a recipe where nobody says otherwise.

    Features and the copies of clips stay as they are: they would be computed anew in every trial.
    """
    return Space(tuple(Dimension(key, values) for key, values in _dimensions(recipe)))


def _dimensions(recipe: Recipe) -> Iterator[tuple[str, Between | Choices]]:
    n_values = recipe.features.n_values
    if recipe.selection.method != "none" and n_values > _LEAST_FEATURES:
        yield "selection.n_features", Between(low=max(_LEAST_FEATURES, n_values // 8), high=n_values)
    balances: tuple[str, ...] = ("none", "oversample", "class-weights")
    # Neighbours cannot be weighed.
    if isinstance(recipe.model, Neighbours):
        balances = balances[:2]
    if recipe.fitting.n_draws or recipe.trainings > 1:
        # Draws say how often a window is seen; several trainings are to see the same ones.
        balances = ("none", "class-weights")
    yield "balance", Choices(choices=balances)
    yield from _of_model(recipe.model)
    if not recipe.is_network:
        return
    yield "fitting.learning_rate", Between(low=1e-4, high=1e-2, log=True)
    yield "fitting.batch_size", Choices(choices=(32, 64, 128, 256))
    yield "fitting.label_smoothing", Between(low=0.0, high=0.2, step=0.02)
    yield "augmentation.inputs.noise", Between(low=0.0, high=0.6, step=0.05)


def _of_model(model: Network | Estimator) -> Iterator[tuple[str, Between | Choices]]:
    match model:
        case Dense():
            yield from _layers(model.layers)
        case Conv():
            yield from _blocks(model.blocks)
            yield from _layers(model.layers)
        case Lstm():
            yield from _recurrent(model.units)
            yield from _layers(model.layers)
        case ConvLstm():
            yield from _blocks(model.blocks)
            yield from _recurrent(model.units)
            yield from _layers(model.layers)
        case ConvGruAttention() | Conv2dGruAttention():
            yield from _blocks(model.blocks)
            yield "model.units", _CELLS
            yield "model.dropout", _DROPOUT
            yield from _layers(model.layers)
        case Ensemble():
            # Its members are searched one by one, each as a recipe of its own.
            return
        case Forest():
            yield "model.n_trees", Choices(choices=(100, 200, 400))
            yield "model.max_depth", Between(low=5, high=40)
            yield "model.min_leaf", Between(low=1, high=16, log=True)
            yield "model.bootstrap", Choices(choices=(True, False))
        case Neighbours():
            yield "model.n_neighbours", Between(low=1, high=51, log=True)
            yield "model.weights", Choices(choices=("uniform", "distance"))
        case Svm():
            yield "model.c", Between(low=0.1, high=100.0, log=True)
            yield "model.kernel", Choices(choices=("rbf", "linear"))


def _layers(layers: tuple[Layer, ...]) -> Iterator[tuple[str, Between | Choices]]:
    for number in range(len(layers)):
        yield f"model.layers.{number}.units", _UNITS
        yield f"model.layers.{number}.dropout", _DROPOUT


def _blocks(blocks: tuple[Block, ...]) -> Iterator[tuple[str, Between | Choices]]:
    for number in range(len(blocks)):
        yield f"model.blocks.{number}.filters", _FILTERS
        yield f"model.blocks.{number}.kernel", Choices(choices=(3, 5, 7))
        yield f"model.blocks.{number}.dropout", _DROPOUT


def _recurrent(units: tuple[int, ...]) -> Iterator[tuple[str, Between | Choices]]:
    for number in range(len(units)):
        yield f"model.units.{number}", _CELLS
    yield "model.dropout", _DROPOUT
