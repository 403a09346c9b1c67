"""What is computed from audio: a frozen, validated specification with a JSON form."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from realtime.errors import FeatureError
from realtime.features.families import FAMILIES, AnyFamily, Contrast, Delta, Mel, Mfcc, Pitch

if TYPE_CHECKING:
    from collections.abc import Mapping

WindowName = Literal["hann", "hamming", "blackman", "rectangular"]
OutputName = Literal["pooled", "frames"]
_T = TypeVar("_T")
_BY_KIND = {family.kind: family for family in FAMILIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """Which features are computed, and how.

    Frames are aligned to the left: frame `t` holds the samples from ``t * frame_hop`` on.

    Parameters
    ----------
    sample_rate
        Of the audio, in Hz.
    frame_length, frame_hop
        Length of a frame and the step between frames, in samples.
    window
        Shape that weighs a frame before its Fourier transform (periodic form).
    pre_emphasis
        Coefficient `a` of ``y[t] - a * y[t - 1]``, applied before everything else; 0 for none.
    power_floor
        Power below which decibels are cut off: a fixed floor, so that no frame looks at another.
    families
        What is computed, in order.
    output
        ``pooled``: one vector per window, by each family's statistics; ``frames``: the matrix of frames.
    voiced_above
        Frames count as voiced from this harmonicity up (0 to 1).
    speech_above_dbfs
        Frames count as speech from this level up, in dB relative to full scale.
    audible_above_dbfs
        Frames below this level are silence to the model, however harmonic: no voice is heard in them.
    harmonic_energy
        Share of a window's energy that harmonic frames must carry for a voice to be heard (0 to 1). The echo
        of a room and noise take some of a voice's; where little is asked, more noise passes for a voice.

    Raises
    ------
    FeatureError
        Where values contradict each other; the message holds the value found and the value wanted.
    """

    sample_rate: int = 16_000
    frame_length: int = 1024
    frame_hop: int = 400
    window: WindowName = "hann"
    pre_emphasis: float = 0.0
    power_floor: float = 1e-10
    families: tuple[AnyFamily, ...] = ()
    output: OutputName = "pooled"
    voiced_above: float = 0.6
    speech_above_dbfs: float = -50.0
    audible_above_dbfs: float = -70.0
    harmonic_energy: float = 0.3

    def __post_init__(self) -> None:
        self._check_numbers()
        for name, kinds in (("window", WindowName), ("output", OutputName)):
            if getattr(self, name) not in get_args(kinds):
                wanted = ", ".join(get_args(kinds))
                raise FeatureError(f"{name} is {getattr(self, name)!r}; wanted one of {wanted}")
        self._check_families()
        if self.output == "pooled" and self.n_values == 0:
            raise FeatureError(
                "no family has statistics in its pool; wanted at least one, or output 'frames'"
            )
        if self.output == "frames" and any(family.pool for family in self.families):
            raise FeatureError("output is 'frames', but some families have a pool; wanted none")

    def _check_numbers(self) -> None:
        for name in ("sample_rate", "frame_length", "frame_hop"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise FeatureError(f"{name} is {value!r}; wanted a whole number from 1 up")
        for name in (
            "pre_emphasis",
            "power_floor",
            "voiced_above",
            "speech_above_dbfs",
            "audible_above_dbfs",
            "harmonic_energy",
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise FeatureError(f"{name} is {value!r}; wanted a finite number")
        if self.frame_length < 4:  # noqa: PLR2004 - below that there is no spectrum to speak of
            raise FeatureError(f"frame_length is {self.frame_length} samples; wanted at least 4")
        if self.frame_hop > self.frame_length:
            raise FeatureError(
                f"frame_hop is {self.frame_hop} samples; wanted at most frame_length, {self.frame_length}, "
                "so that no sample falls between frames"
            )
        if not 0 <= self.pre_emphasis < 1:
            raise FeatureError(f"pre_emphasis is {self.pre_emphasis}; wanted 0 up to, but not, 1")
        if not 0 <= self.harmonic_energy <= 1:
            raise FeatureError(f"harmonic_energy is {self.harmonic_energy}; wanted 0 to 1")
        if not self.power_floor > 0:
            raise FeatureError(f"power_floor is {self.power_floor}; wanted a number above 0")

    def _check_families(self) -> None:
        keys = [family.key for family in self.families]
        if not keys:
            raise FeatureError("families is empty; wanted at least one")
        for key in keys:
            if keys.count(key) > 1:
                raise FeatureError(f"the family {key} stands twice; wanted each once")
        for i, family in enumerate(self.families):
            self._check_frequencies(family)
            if isinstance(family, Delta):
                self._check_delta(family, self.families[:i])

    def _check_delta(self, family: Delta, before: tuple[AnyFamily, ...]) -> None:
        bases = {base.key: base for base in before}
        base = bases.get(family.of)
        if base is None:
            raise FeatureError(
                f"{family.key} derives from {family.of!r}; wanted a family before it: {list(bases)}"
            )
        if isinstance(base, Delta):
            raise FeatureError(f"{family.key} derives from a delta; wanted order 2 instead")
        if base.n_columns != family.n:
            raise FeatureError(f"{family.key}: n is {family.n}; wanted the {base.n_columns} of {family.of}")

    def _check_frequencies(self, family: AnyFamily) -> None:
        nyquist = self.sample_rate / 2
        if isinstance(family, Mel | Mfcc):
            fmax = family.fmax or nyquist
            if not 0 <= family.fmin < fmax <= nyquist:
                raise FeatureError(
                    f"{family.key}: bands from {family.fmin} to {fmax} Hz; "
                    f"wanted them within 0 to {nyquist} Hz"
                )
        if isinstance(family, Pitch) and self.sample_rate / family.fmin >= self.frame_length / 2:
            needed = math.ceil(2 * self.sample_rate / family.fmin) + 1
            raise FeatureError(
                f"{family.key}: fmin of {family.fmin} Hz needs frames of {needed} samples; "
                f"found frame_length {self.frame_length}"
            )
        if isinstance(family, Contrast) and family.fmin * 2 ** (family.n_bands - 1) >= nyquist:
            raise FeatureError(
                f"contrast: {family.n_bands} octaves from {family.fmin} Hz up; "
                f"wanted the last to begin below {nyquist} Hz"
            )

    @property
    def look_ahead(self) -> int:
        """Number of later frames that a frame's values need."""
        return max((f.look_ahead for f in self.families if isinstance(f, Delta)), default=0)

    @property
    def n_columns(self) -> int:
        """Number of values per frame."""
        return sum(family.n_columns for family in self.families)

    @property
    def n_values(self) -> int:
        """Number of values of a pooled vector, or per frame where frames are the output."""
        if self.output == "frames":
            return self.n_columns
        return sum(family.n_columns * len(family.pool) for family in self.families)

    def names(self) -> tuple[str, ...]:
        """Return the name of every value: ``mfcc_00.mean`` of a pooled vector, ``mfcc_00`` of a frame."""
        if self.output == "frames":
            return tuple(name for family in self.families for name in family.column_names())
        return tuple(
            f"{name}.{statistic}"
            for family in self.families
            for statistic in family.pool
            for name in family.column_names()
        )

    def n_frames(self, n_samples: int) -> int:
        """Return how many whole frames, with all their values, lie within `n_samples` samples."""
        return max(0, (n_samples - self.frame_length) // self.frame_hop + 1 - self.look_ahead)

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain data, for JSON."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain["families"] = [
            {"kind": family.kind, **asdict(family), "pool": list(family.pool)} for family in self.families
        ]
        return plain

    def to_json(self) -> str:
        """Return the specification as JSON text; `from_json` reads it back to an equal one."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FeatureSpec:
        """Build a specification from plain data.

        Raises
        ------
        FeatureError
            On keys that are not known, values of another type, or values that contradict each other.
        """
        _check_keys("feature specification", plain, {entry.name for entry in fields(cls)})
        families = plain.get("families", ())
        if not isinstance(families, list | tuple):
            raise FeatureError(f"families is {families!r}; wanted a list")
        return _build(cls, {**plain, "families": tuple(_family(entry) for entry in families)})

    @classmethod
    def from_json(cls, text: str) -> FeatureSpec:
        """Build a specification from JSON text; errors as `from_dict`."""
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise FeatureError(f"the feature specification is not JSON: {error}") from None
        if not isinstance(plain, dict):
            raise FeatureError(f"the feature specification is {plain!r}; wanted a JSON object")
        return cls.from_dict(plain)


def _family(plain: object) -> AnyFamily:
    if not isinstance(plain, dict):
        raise FeatureError(f"a family is {plain!r}; wanted an object with its kind")
    kind = plain.get("kind")
    if not isinstance(kind, str) or kind not in _BY_KIND:
        raise FeatureError(f"unknown family {kind!r}; wanted one of {', '.join(sorted(_BY_KIND))}")
    family = _BY_KIND[kind]
    values = {key: value for key, value in plain.items() if key != "kind"}
    _check_keys(f"family {kind}", values, {entry.name for entry in fields(family)})
    for entry in fields(family):
        value = values.get(entry.name, entry.default)
        if entry.name == "pool":
            if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
                raise FeatureError(f"family {kind}: pool is {value!r}; wanted a list of statistics")
            values["pool"] = tuple(value)
        else:
            wanted = (int, float) if isinstance(entry.default, float) else type(entry.default)
            if isinstance(value, bool) or not isinstance(value, wanted):
                raise FeatureError(f"family {kind}: {entry.name} is {value!r}; wanted {entry.type}")
    return _build(family, values)


def _build(cls: type[_T], values: Mapping[str, Any]) -> _T:
    try:
        return cls(**values)
    except TypeError as error:
        raise FeatureError(f"the feature specification cannot be used: {error}") from None


def _check_keys(where: str, plain: Mapping[str, Any], known: set[str]) -> None:
    for key in plain:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; wanted some of {', '.join(sorted(known))}"
            raise FeatureError(f"{where}: unknown key {key!r}{hint}")
