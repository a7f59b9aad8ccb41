"""Commands that compose the rooms: `python -m pipelines.NAME --help`."""

import os

from pipelines.allocation import keep_freed_memory

# Large CPU tensors are two to four times as fast on huge pages; torch reads this when it starts.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# Threads that have nothing to do sleep. Spinning, they slow each other down many times over as soon
# as anything else runs on the machine. Read when the numerical libraries load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

keep_freed_memory()
