from __future__ import annotations

import ast
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SCRIPT = """
import numpy as np
from training import networks
from training.recipes.schema import Block, Block2d, Conv2dGruAttention, Layer

networks.use_one_thread()
tensorflow = networks.load_tensorflow()
print(tensorflow.config.threading.get_intra_op_parallelism_threads())
print(tensorflow.config.threading.get_inter_op_parallelism_threads())
rng = np.random.default_rng(0)
inputs = rng.standard_normal((96, 16, 10), dtype=np.float32)
targets = np.eye(3, dtype=np.float32)[rng.integers(3, size=96)]
kind = Conv2dGruAttention(
    n_bands=8,
    blocks2d=(Block2d(filters=8, kernel=3, stride=(2, 2), dropout=0.1),),
    blocks=(Block(filters=4, kernel=3, pool=2),),
    joined=Layer(units=8),
    units=4,
    layers=(Layer(units=8),),
)


def trained():
    networks.seed_everything(7)
    model = networks.build(kind, (16, 10), 3)
    model.compile("adam", loss="categorical_crossentropy")
    model.fit(inputs, targets, batch_size=32, epochs=3, shuffle=False, verbose=0)
    return b"".join(array.tobytes() for array in model.get_weights())


print(trained() == trained())
networks.use_one_thread()
"""


def test_one_thread_trains_repeatably() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "1", "True"], found.stderr


def test_whoever_said_which_kernels_to_use_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "from training import networks; networks.load_tensorflow(); import os; print(dict(os.environ))"
    found = []
    for said in (None, "0"):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        if said is not None:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", said)
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        found.append(ast.literal_eval(ran.stdout).get("TF_ENABLE_ONEDNN_OPTS"))
    assert found == ["1" if platform.machine().lower() in {"x86_64", "amd64"} else None, "0"]


def test_who_has_begun_goes_on_with_all_cores() -> None:
    script = (
        "from training import networks\n"
        "tensorflow = networks.load_tensorflow()\n"
        "tensorflow.constant([1.0]) + 1\n"
        "networks.use_one_thread()\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled\n"
        "print(is_op_determinism_enabled())\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"], found.stderr
