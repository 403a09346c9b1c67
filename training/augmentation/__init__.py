"""Training clips and network inputs varied as voices, rooms, devices and moments vary.

`vary` makes copies of clips, `vary_inputs` varies what a network sees, anew in every epoch, and `degrade`
spoils clips in fixed ways, to measure what that costs a model.
"""

from training.augmentation.chain import noise_digest, vary
from training.augmentation.conditions import CONDITIONS, Condition, clip_rng, degrade
from training.augmentation.inputs import vary_inputs
from training.augmentation.noises import Noises

__all__ = [
    "CONDITIONS",
    "Condition",
    "Noises",
    "clip_rng",
    "degrade",
    "noise_digest",
    "vary",
    "vary_inputs",
]
