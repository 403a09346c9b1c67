"""Streaming audio features: one path for training, files and live audio."""

from realtime.features.extractor import FrameExtractor
from realtime.features.families import (
    FAMILIES,
    Bandwidth,
    Centroid,
    Chroma,
    Contrast,
    Delta,
    Flatness,
    Flux,
    Harmonicity,
    Level,
    Mel,
    Mfcc,
    Pitch,
    Rms,
    Rolloff,
    Semitones,
    Tonnetz,
    ZeroCrossingRate,
)
from realtime.features.spec import FeatureSpec
from realtime.features.windows import FeatureWindow, WindowExtractor

__all__ = [
    "FAMILIES",
    "Bandwidth",
    "Centroid",
    "Chroma",
    "Contrast",
    "Delta",
    "FeatureSpec",
    "FeatureWindow",
    "Flatness",
    "Flux",
    "FrameExtractor",
    "Harmonicity",
    "Level",
    "Mel",
    "Mfcc",
    "Pitch",
    "Rms",
    "Rolloff",
    "Semitones",
    "Tonnetz",
    "WindowExtractor",
    "ZeroCrossingRate",
]
