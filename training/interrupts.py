"""Interrupts held back while TensorFlow computes: raised amid its work, they now and then ruin its memory."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from training.networks import load_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def between_steps() -> Iterator[list[Any]]:
    """Let an interrupt wait for the end of a training step, or, where there are none, of the work.

    Python raises it wherever the main thread happens to be, also where TensorFlow has called Python back to
    trace a network; what is then left half done may end the process without a word.

    Yields
    ------
    list
        Keras callbacks, for the training whose steps are meant.

    Raises
    ------
    KeyboardInterrupt
        Behind the step, or what else the handler of SIGINT does that was there before.
    """
    before = signal.getsignal(signal.SIGINT)
    # Elsewhere no handler can be set, nor is one called; what is ignored stays so.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield []
        return
    told: list[tuple[int, FrameType | None]] = []

    def pass_on(*_: object, **__: object) -> None:
        if told:
            before(*told.pop())

    signal.signal(signal.SIGINT, lambda *signalled: told.append(signalled))
    try:
        yield [load_tensorflow().keras.callbacks.LambdaCallback(on_train_batch_end=pass_on)]
    finally:
        signal.signal(signal.SIGINT, before)
    pass_on()
