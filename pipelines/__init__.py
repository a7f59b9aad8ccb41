"""Commands that compose the rooms: `python -m pipelines.NAME --help`."""

import os

# Large CPU tensors are two to four times as fast on huge pages; torch reads this when it starts.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
