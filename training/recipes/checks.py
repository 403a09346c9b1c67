"""What a recipe's settings must agree on, each being well-formed by itself."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from realtime.errors import SettingsError
from realtime.features import Mel
from realtime.types import LABELS
from training.recipes.schema import Augmentation, Conv2dGruAttention, Dense, Estimator, Framed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from training.recipes.schema import Block, Block2d, Recipe, Single


def check(recipe: Recipe) -> None:
    """Refuse what is well-formed and makes no sense.

    Raises
    ------
    SettingsError
        Where that is so.
    """
    in_order = tuple(label for label in LABELS if label in recipe.labels)
    few = 2
    if recipe.labels != in_order or len(recipe.labels) < few:
        raise SettingsError(
            f"labels are {list(recipe.labels)}; wanted two or more of {list(LABELS)}, in this order"
        )
    _check_lengths(recipe)
    _check_input(recipe)
    selection = recipe.selection
    n_values = recipe.features.n_values
    if selection.method != "none" and not 1 <= selection.n_features <= n_values:
        raise SettingsError(
            f"selection: n_features is {selection.n_features}; wanted 1 to {n_values}, the number computed"
        )
    if selection.method == "none" and selection.n_features:
        raise SettingsError(
            f"selection: n_features is {selection.n_features} without a method; wanted method 'forest' or "
            "'mutual-information', or no n_features"
        )
    smoothing = recipe.smoothing
    if not (0 < smoothing.alpha <= 1 and smoothing.n >= 1):
        raise SettingsError(
            f"smoothing: alpha is {smoothing.alpha:g} and n is {smoothing.n}; wanted alpha above 0 up to 1, "
            "and n from 1 up"
        )
    if recipe.fitting.n_draws and recipe.balance in {"oversample", "downsample"}:
        raise SettingsError(
            f"fitting: n_draws is {recipe.fitting.n_draws} with balance {recipe.balance!r}, and both say how "
            "often a window is seen; wanted balance 'class-weights' or 'none'"
        )
    if recipe.trainings > 1 and (
        selection.method != "none" or recipe.balance in {"oversample", "downsample"}
    ):
        # All members stand behind one selector and one scaler.
        raise SettingsError(
            f"model: trainings is {recipe.trainings}, beside selection {selection.method!r} and balance "
            f"{recipe.balance!r}, in which chance has a part; wanted no selection, and balance "
            "'class-weights' or 'none'"
        )
    if recipe.augmentation.n_copies and not recipe.augmentation.steps:
        raise SettingsError(
            f"augmentation: n_copies is {recipe.augmentation.n_copies} without steps; wanted steps that make "
            "the copies differ, or n_copies 0"
        )


def _check_lengths(recipe: Recipe) -> None:
    frame_s = recipe.features.frame_hop / recipe.features.sample_rate
    for name, seconds in (("window_s", recipe.window_s), ("hop_s", recipe.hop_s)):
        n_frames = round(seconds / frame_s)
        if n_frames < 1 or abs(n_frames * frame_s - seconds) > 1e-6:  # noqa: PLR2004 - rounding of decimals
            raise SettingsError(
                f"{name} is {seconds} s; wanted a multiple of the frame step, {frame_s:g} s, "
                f"such as {max(1, n_frames) * frame_s:g}"
            )
    if recipe.features.n_frames(recipe.window) < 1:
        raise SettingsError(f"window_s is {recipe.window_s} s; wanted at least one frame in it")


def _check_input(recipe: Recipe) -> None:
    kind = type(recipe.model).__struct_config__.tag
    for member in recipe.members:
        _check_member(recipe, member)
    if recipe.sees_frames and recipe.selection.method == "forest":
        # A forest ranks columns of a table; mutual information is as well defined for a column of frames.
        raise SettingsError("selection: method 'forest' ranks pooled features; wanted none for frames")
    if isinstance(recipe.model, Estimator) and recipe.speakers is not None:
        raise SettingsError("speakers: only networks are trained for a speaker's mean; wanted no such table")
    if isinstance(recipe.model, Estimator) and recipe.fitting.intensity:
        raise SettingsError("fitting: only networks tell an intensity; wanted none, or 0")
    if isinstance(recipe.model, Estimator) and recipe.fitting.label_subsets:
        raise SettingsError(
            "fitting: only networks are trained among some of the labels; wanted no label_subsets"
        )
    _check_kinds(recipe)
    if recipe.fitting.label_subsets and recipe.augmentation.inputs.mixup:
        # A blend tells between the labels of both rows: hardly any would be lost.
        raise SettingsError("fitting: mixup undoes label_subsets; wanted one of both")
    if isinstance(recipe.model, Estimator) and recipe.augmentation.inputs != Augmentation().inputs:
        raise SettingsError("augmentation: inputs are varied for networks alone; wanted none of it")
    if recipe.augmentation.inputs.n_time_masks and not recipe.sees_frames:
        raise SettingsError(
            "augmentation: n_time_masks cover frames; wanted none of them for pooled features"
        )
    if recipe.balance == "class-weights" and kind == "knn":
        raise SettingsError("balance is 'class-weights', which 'knn' does not know; wanted 'oversample'")


def _check_kinds(recipe: Recipe) -> None:
    """Refuse labels that are a kind of what nobody is told."""
    kind_of = recipe.fitting.kind_of
    if kind_of and isinstance(recipe.model, Estimator):
        raise SettingsError("fitting: only networks know labels that a corpus lacks; wanted no kind_of")
    for kind, other in kind_of.items():
        for label in (kind, other):
            if label not in recipe.labels:
                raise SettingsError(
                    f"fitting: kind_of names {label!r}; wanted some of the recipe's labels, "
                    f"{list(recipe.labels)}{_hint(label, recipe.labels)}"
                )
        if kind == other:
            raise SettingsError(f"fitting: kind_of has {kind!r} as a kind of itself; wanted another label")


def _check_member(recipe: Recipe, model: Single | Estimator) -> None:
    kind = type(model).__struct_config__.tag
    pooled = isinstance(model, Estimator | Dense)
    if pooled == recipe.sees_frames:
        wanted = "pooled" if pooled else "frames"
        raise SettingsError(
            f"features: output is {recipe.features.output!r}; wanted {wanted!r} for a model of kind {kind!r}"
        )
    if isinstance(model, Framed) and model.sees:
        _check_seen(recipe, model)
    for name in ("blocks2d", "blocks"):
        _n_left(recipe.features.n_frames(recipe.window), getattr(model, name, ()), name)
    if isinstance(model, Conv2dGruAttention):
        _check_picture(recipe, model)


def _check_seen(recipe: Recipe, model: Framed) -> None:
    """Refuse families that are not computed, or of which a selection leaves some columns."""
    keys = [family.key for family in recipe.features.families]
    if recipe.selection.method != "none":
        raise SettingsError(
            f"model: sees is {list(model.sees)}, beside the selection {recipe.selection.method!r}; wanted "
            "one of them"
        )
    for key in model.sees:
        if key not in keys or model.sees.count(key) > 1:
            raise SettingsError(
                f"model: sees is {list(model.sees)}; wanted each once, of {keys}{_hint(key, keys)}"
            )


def _hint(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near and near[0] != key else ""


def _check_picture(recipe: Recipe, model: Conv2dGruAttention) -> None:
    """Refuse a picture of anything but mel bands, and columns beside it that are out of step with it."""
    seen = [family for family in recipe.features.families if not model.sees or family.key in model.sees]
    first = seen[0]
    n_bands = first.n if isinstance(first, Mel) else 0
    if recipe.selection.method != "none" or model.n_bands > n_bands:
        found = f"{n_bands} mel bands" if n_bands else first.key
        chosen = "" if recipe.selection.method == "none" else ", of which a selection leaves some"
        raise SettingsError(
            f"model: n_bands is {model.n_bands}, and the columns in front are {found}{chosen}; wanted at "
            "least so many mel bands as the first family, and no selection"
        )
    if model.joined.l2:
        raise SettingsError(f"model: joined has an l2 of {model.joined.l2:g}; wanted it in layers alone")
    n_frames = recipe.features.n_frames(recipe.window)
    n_bands_left = _n_left(n_frames, model.blocks2d, "blocks2d")
    n_left = _n_left(n_frames, model.blocks, "blocks")
    if model.n_bands == sum(family.n_columns for family in seen):
        if model.blocks:
            raise SettingsError(
                "model: blocks go over the columns beside the bands, and there are none; wanted no blocks"
            )
    elif n_bands_left != n_left:
        raise SettingsError(
            f"model: of {n_frames} frames, blocks2d leave {n_bands_left} and blocks {n_left}; wanted equally "
            "many: strides round up, pools down"
        )


def _n_left(n_frames: int, blocks: Iterable[Block | Block2d], name: str) -> int:
    """Return how many frames are left behind blocks of convolutions; refuse pools that leave none."""
    for number, block in enumerate(blocks, start=1):
        n_frames = -(-n_frames // getattr(block, "stride", (1, 1))[0])
        if n_frames < block.pool:
            raise SettingsError(
                f"model: number {number} of {name} keeps one of {block.pool} frames, but only {n_frames} "
                "come to it; wanted a longer window, or fewer or smaller pools"
            )
        n_frames //= block.pool
    return n_frames
