"""Specifications: 392 named values, a JSON form that comes back equal, and errors that say what to do."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import FeatureError
from realtime.features import FAMILIES, Chroma, Contrast, Delta, FeatureSpec, Mel, Mfcc, Pitch, Rms

if TYPE_CHECKING:
    from realtime.features.families import Family

BOTH = ("mean", "std")


def test_names_name_every_value() -> None:
    spec = FeatureSpec(
        families=(
            Mfcc(n=3, pool=BOTH),
            Delta(of="mfcc", n=3, pool=("mean",)),
            Chroma(),
            Pitch(pool=("p90@voiced",)),
        )
    )
    assert spec.names() == (
        "mfcc_0.mean",
        "mfcc_1.mean",
        "mfcc_2.mean",
        "mfcc_0.std",
        "mfcc_1.std",
        "mfcc_2.std",
        "mfcc_delta_0.mean",
        "mfcc_delta_1.mean",
        "mfcc_delta_2.mean",
        "pitch_f0.p90@voiced",
        "pitch_voicing.p90@voiced",
    )
    assert spec.n_values == 11
    frames = FeatureSpec(families=(Mel(n=2), Rms()), output="frames")
    assert frames.names() == ("mel_0", "mel_1", "rms")
    assert frames.n_values == 3


POOLS = st.lists(
    st.sampled_from(["mean", "std", "slope", "p5", "p100", "mean@voiced", "p50@speech"]), unique=True
)


@given(
    kinds=st.sets(st.sampled_from([kind for kind in FAMILIES if kind is not Delta]), min_size=1),
    pools=POOLS,
    hop=st.integers(1, 1024),
    emphasis=st.floats(0, 0.99),
)
def test_json_round_trip(kinds: set[type[Family]], pools: list[str], hop: int, emphasis: float) -> None:
    families: list[Any] = [kind(pool=tuple(pools)) for kind in sorted(kinds, key=lambda kind: kind.kind)]
    if Mfcc in kinds:
        families.append(Delta(of="mfcc", order=2, width=7, pool=("mean",)))
    output = "frames" if not pools else "pooled"
    if output == "frames":
        families = [dataclasses.replace(family, pool=()) for family in families]
    spec = FeatureSpec(
        frame_hop=hop,
        pre_emphasis=emphasis,
        families=tuple(families),
        output=output,  # type: ignore[arg-type]
    )
    again = FeatureSpec.from_json(spec.to_json())
    assert again == spec
    assert again.names() == spec.names()
    assert hash(again) == hash(spec)


def test_is_frozen() -> None:
    spec = FeatureSpec(families=(Rms(pool=("mean",)),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.sample_rate = 8000  # type: ignore[misc]


MEAN = ("mean",)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (FeatureSpec, "families is empty"),
        (lambda: FeatureSpec(families=(Rms(),)), "no family has statistics"),
        (lambda: FeatureSpec(families=(Rms(pool=MEAN),), output="frames"), "some families have a pool"),
        (lambda: FeatureSpec(families=(Rms(pool=MEAN), Rms(pool=MEAN))), "rms stands twice"),
        (lambda: FeatureSpec(families=(Rms(pool=MEAN),), sample_rate=0), "sample_rate is 0"),
        (lambda: FeatureSpec(families=(Rms(pool=MEAN),), frame_hop=2000), "at most frame_length, 1024"),
        (lambda: FeatureSpec(families=(Rms(pool=MEAN),), pre_emphasis=1.5), "pre_emphasis is 1.5"),
        (lambda: FeatureSpec(families=(Rms(pool=MEAN),), window="hat"), "wanted one of hann"),  # type: ignore[arg-type]
        (lambda: FeatureSpec(families=(Rms(pool=MEAN),), power_floor=float("nan")), "finite"),
        (lambda: FeatureSpec(families=(Delta(of="mfcc", pool=MEAN),)), "wanted a family before it"),
        (lambda: FeatureSpec(families=(Mfcc(n=13), Delta(of="mfcc", n=12, pool=MEAN))), "wanted the 13"),
        (lambda: FeatureSpec(families=(Mel(fmax=9000.0, pool=MEAN),)), "within 0 to 8000"),
        (lambda: FeatureSpec(families=(Contrast(n_bands=7, pool=MEAN),)), "below 8000"),
        (lambda: FeatureSpec(families=(Pitch(fmin=30.0, pool=MEAN),)), "needs frames of 1068 samples"),
        (lambda: Rms(pool=("median",)), "unknown statistic 'median'"),
        (lambda: Rms(pool=("mean", "mean")), "twice"),
        (lambda: Mfcc(n=0), "n is 0"),
        (lambda: Mfcc(n=41, n_mels=40), "at most n_mels, 40"),
        (lambda: Delta(width=4), "odd number"),
        (lambda: Delta(order=3), "wanted 1 or 2"),
    ],
)
def test_contradictions_are_refused_with_what_was_wanted(make: Any, wanted: str) -> None:
    with pytest.raises(FeatureError, match=wanted):
        make()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{", "not JSON"),
        ("[]", "wanted a JSON object"),
        ('{"families": 3}', "wanted a list"),
        ('{"families": [{"kind": "mfc"}]}', "unknown family 'mfc'"),
        ('{"families": [{"kind": "mfcc", "m": 3}]}', "unknown key 'm'"),
        ('{"families": [{"kind": "mfcc", "n": "3"}]}', "n is '3'"),
        ('{"families": [{"kind": "rms", "pool": "mean"}]}', "wanted a list of statistics"),
        ('{"families": [{"kind": "rms", "pool": ["mean"]}], "sampel_rate": 1}', "did you mean 'sample_rate'"),
        ('{"families": [{"kind": "rms", "pool": ["mean"]}], "sample_rate": "x"}', "sample_rate is 'x'"),
    ],
)
def test_json_that_is_no_specification_is_refused(text: str, wanted: str) -> None:
    with pytest.raises(FeatureError, match=wanted):
        FeatureSpec.from_json(text)


def test_json_is_plain() -> None:
    plain = json.loads(FeatureSpec(families=(Rms(pool=MEAN),)).to_json())
    assert plain["families"] == [{"kind": "rms", "pool": ["mean"]}]
