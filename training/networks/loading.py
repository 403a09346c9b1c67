"""TensorFlow, loaded when a network is first needed: it takes seconds."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import platform
from typing import Any


@functools.cache
def load_tensorflow() -> Any:  # noqa: ANN401 - TensorFlow carries no types
    """Return TensorFlow, quiet and deterministic."""
    # Read as TensorFlow loads: no notes about processors and graphics cards that are not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if platform.machine().lower() in {"x86_64", "amd64"}:
        # Unasked, it takes these kernels on some processors alone; on others too they train networks over
        # pictures in three quarters of the time.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.get_logger().setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    # The same seed gives the same weights, bit for bit, on the same machine. Where several threads add up,
    # that takes operations that keep an order, some of which need twice the time; see `use_one_thread`.
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow


@functools.cache
def use_one_thread() -> None:
    """Let TensorFlow compute on one core in this process, since others work beside it.

    One thread adds up in one order anyway, so that operations are used which need not see to it: convolutions
    over pictures are trained in little more than half the time, and as repeatably. It cannot be changed once
    TensorFlow has begun: then this process is alone, and goes on with all cores.
    """
    tensorflow = load_tensorflow()
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return
    # TensorFlow's own way to take it back; it has no public one.
    importlib.import_module("tensorflow.python.framework.config").disable_op_determinism()


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow: weights, dropout and the order of rows follow from it."""
    load_tensorflow().keras.utils.set_random_seed(seed)
