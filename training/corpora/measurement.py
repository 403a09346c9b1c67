"""What one file holds: whether it can be read whole, how long, how loud, and whether it is clipped."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from realtime.sources.downmix import Downmixer
from realtime.sources.file import MOST_FRAMES
from realtime.sources.wav import missing_bytes
from realtime.types import SILENCE_DBFS

if TYPE_CHECKING:
    import numpy.typing as npt

    from realtime.types import FloatArray

_BLOCK_FRAMES = 1 << 18
_MIN_RUN = 3
"""Equal samples in a row, at a file's very highest or lowest value, that are a clipped wave's flat top."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was found in one file.

    Parameters
    ----------
    problem
        Why it cannot be used, in one line; the other values are then 0. Empty as a rule.
    file_sha256
        Of its bytes.
    content_sha256
        Of its sample rate and its samples, made one channel as live, so that it is the same in WAV and in
        FLAC.
    n_samples
        Per channel.
    sample_rate
        In Hz.
    peak_dbfs
        Of the sample furthest from the mean, in dB relative to full scale.
    level_dbfs
        Root mean square without the mean, in dB relative to full scale.
    clipped_share
        Share of the samples that are in flat tops.
    """

    problem: str = ""
    file_sha256: str = ""
    content_sha256: str = ""
    n_samples: int = 0
    sample_rate: int = 0
    peak_dbfs: float = SILENCE_DBFS
    level_dbfs: float = SILENCE_DBFS
    clipped_share: float = 0.0


def measure(path: Path) -> Measurement:
    """Read a file once and say what is in it; what is wrong with it is told, never raised."""
    import soundfile  # noqa: PLC0415 - loaded when first needed

    try:
        data = path.read_bytes()
    except OSError as error:
        return Measurement(problem=f"cannot be opened: {error.strerror}")
    if not data:
        return Measurement(problem="is empty (0 bytes)")
    try:
        # As bytes, which soundfile does not encode again; on Windows names are text.
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as file:
            # A FLAC that was written to a pipe does not tell its length; libsndfile would make room for any.
            n_announced = file.frames if file.frames <= MOST_FRAMES else 0
            sample_rate = file.samplerate
            # After each block soundfile seeks to where it already is, which cannot be in such a file.
            file.seekable = lambda: False
            blocks = [np.zeros((0, file.channels), dtype=np.float32)]
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                blocks.append(block)
            channels: FloatArray = np.concatenate(blocks)
    except (soundfile.LibsndfileError, TypeError) as error:
        return Measurement(problem=_describe(error))
    return _measure_samples(channels, sample_rate, n_announced, data)


def _describe(error: Exception) -> str:
    # TypeError: a name ending in .raw, for which soundfile asks rate and format.
    detail = getattr(error, "error_string", "") or "no audio format is recognised"
    return f"cannot be read: it is damaged, cut short or no audio ({detail.rstrip('.')})"


def _measure_samples(channels: FloatArray, sample_rate: int, n_announced: int, data: bytes) -> Measurement:
    n_samples = len(channels)
    n_missing_bytes, _ = missing_bytes(io.BytesIO(data))
    if n_missing_bytes:
        return Measurement(
            problem=f"is cut short: {n_missing_bytes} bytes of what its header says are missing"
        )
    if n_samples < n_announced:
        read_s, announced_s = n_samples / sample_rate, n_announced / sample_rate
        return Measurement(
            problem=f"is cut short: {read_s:.2f} s can be read of the {announced_s:.2f} s its header says"
        )
    if not n_samples:
        return Measurement(problem="holds no audio (0 samples)")
    if channels.shape[1] == 1:
        samples = np.ascontiguousarray(channels[:, 0])
    else:
        # As live, and in training: of channels in opposite phase the mean would be silence.
        samples = Downmixer(sample_rate, channels.shape[1]).push(channels)
    if not np.isfinite(samples).all():
        return Measurement(problem="holds samples that are not finite numbers")
    content = hashlib.sha256(sample_rate.to_bytes(4, "little"))
    content.update(samples.data)
    # A constant is no sound: what lies around it is.
    centred = samples - samples.mean(dtype=np.float64)
    return Measurement(
        file_sha256=hashlib.sha256(data).hexdigest(),
        content_sha256=content.hexdigest(),
        n_samples=n_samples,
        sample_rate=sample_rate,
        peak_dbfs=_dbfs(float(np.abs(centred).max())),
        level_dbfs=_dbfs(float(np.sqrt(np.mean(np.square(centred))))),
        clipped_share=_clipped_share(channels),
    )


def _clipped_share(channels: FloatArray) -> float:
    """Return the share of samples in flat tops, of the channel that has most.

    A flat top is a run of equal samples at the highest or lowest value of the channel: where that lies
    below full scale, the recording was clipped first and turned down later. A voice that is not clipped
    comes back to its very peak value hardly ever, and does not stay there.
    """
    return max(_n_flat(channel) for channel in channels.T) / len(channels)


def _n_flat(samples: FloatArray) -> int:
    return sum(_n_in_runs(np.flatnonzero(samples == extreme)) for extreme in {samples.max(), samples.min()})


def _n_in_runs(indices: npt.NDArray[np.int64]) -> int:
    """Return how many of these indices, in order, stand in runs of at least `_MIN_RUN`."""
    bounds = np.flatnonzero(np.diff(indices, prepend=-2, append=indices[-1] + 2) != 1)
    lengths = np.diff(bounds)
    return int(lengths[lengths >= _MIN_RUN].sum())


def _dbfs(amplitude: float) -> float:
    return max(SILENCE_DBFS, 20 * float(np.log10(amplitude))) if amplitude > 0 else SILENCE_DBFS
