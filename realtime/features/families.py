"""The families of frame features and their parameters.

Each family is a frozen dataclass: what a specification names, and what its JSON holds. The numbers are
computed in `realtime.features.compute`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import ClassVar, TypeAlias

from realtime.errors import FeatureError

POOL_PATTERN = re.compile(r"(mean|std|slope|p(100|\d{1,2}))(@(voiced|speech))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What all families share.

    Parameters
    ----------
    pool
        Statistics over a window: ``mean``, ``std``, ``slope`` (per second), or a percentile such as
        ``p10``; followed by ``@voiced`` or ``@speech`` for those frames alone. Empty: the family is
        computed for others (deltas, say) but is not part of a pooled vector.
    """

    kind: ClassVar[str]
    pool: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for statistic in self.pool:
            if POOL_PATTERN.fullmatch(statistic) is None:
                raise FeatureError(
                    f"{self.key}: unknown statistic {statistic!r}; wanted mean, std, slope or p0 to p100, "
                    "with @voiced or @speech behind it or nothing"
                )
        if len(set(self.pool)) != len(self.pool):
            raise FeatureError(f"{self.key}: a statistic stands twice in {list(self.pool)}")
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float) and not value >= 0:
                raise FeatureError(f"{self.key}: {entry.name} is {value}; wanted a number from 0 up")

    @property
    def key(self) -> str:
        """Name of the family within its specification."""
        return self.kind

    @property
    def n_columns(self) -> int:
        """Number of values per frame."""
        return 1

    def column_names(self) -> tuple[str, ...]:
        """Return one name per value of a frame."""
        if self.n_columns == 1:
            return (self.key,)
        digits = len(str(self.n_columns - 1))
        return tuple(f"{self.key}_{i:0{digits}d}" for i in range(self.n_columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted(Family):
    """A family of `n` values per frame."""

    n: int = 1

    def __post_init__(self) -> None:
        # Spelled out: zero-argument super() fails in dataclasses that slots=True makes anew.
        Family.__post_init__(self)
        if self.n < 1:
            raise FeatureError(f"{self.key}: n is {self.n}; wanted at least 1")

    @property
    def n_columns(self) -> int:
        """Number of values per frame."""
        return self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Mel(_Counted):
    """Log power in `n` Slaney mel bands between `fmin` and `fmax` Hz, in dB (`fmax` 0: Nyquist)."""

    kind: ClassVar[str] = "mel"
    n: int = 64
    fmin: float = 0.0
    fmax: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mfcc(_Counted):
    """First `n` mel-frequency cepstral coefficients of `n_mels` mel bands in dB."""

    kind: ClassVar[str] = "mfcc"
    n: int = 40
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float = 0.0

    def __post_init__(self) -> None:
        _Counted.__post_init__(self)
        if self.n > self.n_mels:
            raise FeatureError(f"mfcc: n is {self.n}; wanted at most n_mels, {self.n_mels}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta(_Counted):
    """Local derivative, of order 1 or 2, of another family over `width` frames (Savitzky-Golay).

    It looks `width // 2` frames ahead. `n` is the number of columns of the family `of`.
    """

    kind: ClassVar[str] = "delta"
    of: str = "mfcc"
    n: int = 40
    order: int = 1
    width: int = 9

    def __post_init__(self) -> None:
        _Counted.__post_init__(self)
        if self.order not in {1, 2}:
            raise FeatureError(f"{self.key}: order is {self.order}; wanted 1 or 2")
        if self.width < 3 or self.width % 2 == 0:  # noqa: PLR2004 - three points make a slope
            raise FeatureError(f"{self.key}: width is {self.width} frames; wanted an odd number from 3 up")

    @property
    def key(self) -> str:
        """Name of the family within its specification: that of its base, with what it derives."""
        return f"{self.of}_delta" if self.order == 1 else f"{self.of}_delta2"

    @property
    def look_ahead(self) -> int:
        """Number of later frames that a frame's value needs."""
        return self.width // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Chroma(_Counted):
    """Energy of each pitch class, divided by the frame's largest; tuning is fixed at A = 440 Hz."""

    kind: ClassVar[str] = "chroma"
    n: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast(Family):
    """Peaks over valleys, in dB, of `n_bands` octave bands from `fmin` Hz up and of the band below."""

    kind: ClassVar[str] = "contrast"
    n_bands: int = 6
    fmin: float = 200.0
    quantile: float = 0.02

    def __post_init__(self) -> None:
        Family.__post_init__(self)
        if self.n_bands < 1 or self.fmin <= 0 or not 0 < self.quantile < 1:
            raise FeatureError(
                f"contrast: n_bands {self.n_bands}, fmin {self.fmin} Hz, quantile {self.quantile}; "
                "wanted at least one band, a positive frequency and a quantile between 0 and 1"
            )

    @property
    def n_columns(self) -> int:
        """Number of values per frame."""
        return self.n_bands + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tonnetz(Family):
    """Six tonal centroids of the twelve pitch classes."""

    kind: ClassVar[str] = "tonnetz"

    @property
    def n_columns(self) -> int:
        """Number of values per frame."""
        return 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Centroid(Family):
    """Centre of the magnitude spectrum, in Hz."""

    kind: ClassVar[str] = "centroid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth(Family):
    """Standard deviation of the magnitude spectrum about its centre, in Hz."""

    kind: ClassVar[str] = "bandwidth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolloff(Family):
    """Frequency, in Hz, below which the share `share` of the magnitude spectrum lies."""

    kind: ClassVar[str] = "rolloff"
    share: float = 0.85

    def __post_init__(self) -> None:
        Family.__post_init__(self)
        if not 0 < self.share < 1:
            raise FeatureError(f"rolloff: share is {self.share}; wanted a number between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatness(Family):
    """Geometric over arithmetic mean of the power spectrum: 1 for white noise, near 0 for a tone."""

    kind: ClassVar[str] = "flatness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux(Family):
    """Mean rise, since the previous frame, of `n_mels` mel bands in dB; 0 in a stream's first frame."""

    kind: ClassVar[str] = "flux"
    n_mels: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCrossingRate(Family):
    """Share of the frame's samples at which the sign changes."""

    kind: ClassVar[str] = "zcr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rms(Family):
    """Root mean square of the frame's samples, full scale 1."""

    kind: ClassVar[str] = "rms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitch(Family):
    """Fundamental frequency by YIN, in Hz, and a voicing measure from 0 (noise) to 1 (periodic).

    The frequency is YIN's best guess in unvoiced frames too; the voicing measure is 1 less the
    normalised difference at the chosen period.
    """

    kind: ClassVar[str] = "pitch"
    fmin: float = 65.0
    fmax: float = 600.0
    threshold: float = 0.1

    def __post_init__(self) -> None:
        Family.__post_init__(self)
        if not 0 < self.fmin < self.fmax:
            raise FeatureError(
                f"{self.key}: fmin is {self.fmin} Hz and fmax {self.fmax} Hz; wanted 0 < fmin < fmax"
            )

    @property
    def n_columns(self) -> int:
        """Number of values per frame."""
        return 2

    def column_names(self) -> tuple[str, ...]:
        """Return the names of the two values."""
        return ("pitch_f0", "pitch_voicing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Semitones(Pitch):
    """The same on a musical scale: MIDI's semitones, 69 for 440 Hz, so that voices differ by a shift."""

    kind: ClassVar[str] = "semitones"

    def column_names(self) -> tuple[str, ...]:
        """Return the names of the two values."""
        return ("semitones_f0", "semitones_voicing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level(Family):
    """Root mean square of the frame's samples, in dB relative to full scale."""

    kind: ClassVar[str] = "level"


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmonicity(Family):
    """Height of the autocorrelation peak between `fmin` and `fmax` Hz, from 0 (noise) to 1 (periodic).

    A voicing measure for a fraction of YIN's cost. Only the spectrum between `low` and `high` Hz counts:
    rumble below is no voice, and hiss above hides one.
    """

    kind: ClassVar[str] = "harmonicity"
    fmin: float = 70.0
    fmax: float = 500.0
    low: float = 90.0
    high: float = 1500.0

    def __post_init__(self) -> None:
        Family.__post_init__(self)
        if not (0 < self.fmin < self.fmax and self.low < self.high):
            raise FeatureError(
                f"harmonicity: fmin {self.fmin}, fmax {self.fmax}, low {self.low}, high {self.high} Hz; "
                "wanted 0 < fmin < fmax and low < high"
            )


AnyFamily: TypeAlias = (
    Mel
    | Mfcc
    | Delta
    | Chroma
    | Contrast
    | Tonnetz
    | Centroid
    | Bandwidth
    | Rolloff
    | Flatness
    | Flux
    | ZeroCrossingRate
    | Rms
    | Level
    | Pitch
    | Semitones
    | Harmonicity
)

FAMILIES: tuple[type[AnyFamily], ...] = (
    Mel,
    Mfcc,
    Delta,
    Chroma,
    Contrast,
    Tonnetz,
    Centroid,
    Bandwidth,
    Rolloff,
    Flatness,
    Flux,
    ZeroCrossingRate,
    Rms,
    Level,
    Pitch,
    Semitones,
    Harmonicity,
)
