"""TensorFlow, loaded when a network is first needed: it takes seconds."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from typing import Any


@functools.cache
def load_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow carries no types
    """Return TensorFlow, quiet and deterministic."""
    # Read as TensorFlow loads: no notes about processors and graphics cards that are not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    # The same seed gives the same weights, bit for bit, on the same machine.
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow: weights, dropout and the order of rows follow from it."""
    load_tensorflow().keras.utils.set_random_seed(seed)
