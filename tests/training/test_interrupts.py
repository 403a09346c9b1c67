from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training import networks
from training.interrupts import between_steps
from training.recipes.schema import Dense, Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = np.zeros((60, 4), dtype=np.float32)


@pytest.fixture(autouse=True)
def _interrupts_are_let_in() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_of_a_step() -> None:
    networks.seed_everything(0)
    keras = networks.load_tensorflow().keras
    model = networks.build(Dense(layers=(Layer(units=3),)), (4,), 2)
    model.compile("sgd", "mse")
    seen = []

    def press(step: int, logs: object) -> None:  # noqa: ARG001 - by name
        seen.append(step)
        if step == 2:
            signal.raise_signal(signal.SIGINT)
            # Here it would have come, amid the work.
            seen.append(-1)

    pressed = keras.callbacks.LambdaCallback(on_train_batch_begin=press)
    with pytest.raises(KeyboardInterrupt), between_steps() as callbacks:
        model.fit(ROWS, ROWS[:, :2], batch_size=10, verbose=0, callbacks=[pressed, *callbacks])
    assert seen == [0, 1, 2, -1]


def test_an_interrupt_comes_at_the_end_where_there_are_no_steps() -> None:
    seen = []

    def work() -> None:
        with between_steps():
            signal.raise_signal(signal.SIGINT)
            seen.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["all of it"]


def test_what_goes_wrong_meanwhile_is_told() -> None:
    with pytest.raises(ValueError, match="wrong"), between_steps():
        raise ValueError("wrong")


def test_who_ignores_interrupts_goes_on_to() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with between_steps() as callbacks:
            signal.raise_signal(signal.SIGINT)
        assert not callbacks
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_have_none_to_hold_back() -> None:
    found: list[object] = []

    def work() -> None:
        with between_steps() as callbacks:
            found.append((callbacks, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [([], signal.default_int_handler)]
