import ctypes
import subprocess
import sys

import pytest

TAKE_AND_FREE = """
import resource
{setting}
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def take_and_free():
    arrays = [np.ones(1 << 17) for _ in range(40)]
    arrays.clear()
take_and_free()
before = faults()
for _ in range(5):
    take_and_free()
{asked}
print(faults() - before)
"""


def page_faults(setting, asked=""):
    """Faults while 40 arrays of 1 MiB are taken and freed five times, after a first time."""
    command = [sys.executable, "-c", TAKE_AND_FREE.format(setting=setting, asked=asked)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has none")
def test_freed_memory_is_kept_for_the_next_arrays_until_it_is_given_back():
    given_back = page_faults("")
    kept = page_faults("import pipelines")
    returned = page_faults(
        "import pipelines",
        "from pipelines.allocation import give_freed_memory_back as give\ngive()\ntake_and_free()",
    )
    assert kept < given_back / 10
    assert returned > kept + 100
