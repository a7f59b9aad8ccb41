"""Commands that compose the rooms: `python -m pipelines.NAME --help`."""

import os

from pipelines.allocation import keep_freed_memory

# Large CPU tensors are two to four times as fast on huge pages; torch reads this when it starts.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# Threads that have nothing to do sleep. Spinning, they slow each other down many times over as soon
# as anything else runs on the machine. Read when the numerical libraries load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Processes of one machine share its cores, unless told otherwise (torchrun says: one thread each).
if "LOCAL_WORLD_SIZE" in os.environ:
    cores = os.cpu_count() or 1
    share = max(1, cores // int(os.environ["LOCAL_WORLD_SIZE"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))

keep_freed_memory()
