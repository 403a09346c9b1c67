from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import sys

import numpy as np

from realtime import classifier
from realtime.features import WindowExtractor

if sys.argv[1] != "kept":
    classifier.keep_freed = lambda: None
model = classifier.load("pair-88")
extractor = WindowExtractor(model.spec, window=model.window, hop=model.hop)
# One hop again and again: whatever is large and freed here would do what is tested.
hop = np.sin(np.arange(model.hop, dtype=np.float32) / 10)
for n in range(60):
    if n == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    extractor.push(hop)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 40)
"""


def faults(how: str) -> float:
    words = [sys.executable, "-c", FAULTS, how]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of GNU's allocator")
def test_hops_take_no_memory_from_the_system() -> None:
    # Pages that the system hands out anew with each hop.
    assert faults("kept") < 20
    assert faults("as it is") > 100, "nothing to be shown: the allocator does by itself what is asked of it"
