"""How the C library hands freed memory back to the system."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of the settings in glibc's `malloc.h`."""

LARGEST_KEPT = 32 << 20
"""Bytes of the largest tensor whose memory is kept; glibc takes no more."""

MOST_KEPT = 256 << 20
"""Bytes of free memory that the process keeps at most."""


def keep_freed_memory() -> None:
    """Keep the memory of freed tensors for the next ones; nothing happens without glibc.

    As it is shipped, glibc gives the memory of a freed tensor of a few megabytes back at once, and
    the next one of the same size is mapped and zeroed page by page: a copy of 2 MB then takes three
    to seven times as long.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(TRIM_THRESHOLD, MOST_KEPT)
        set_option(MMAP_THRESHOLD, LARGEST_KEPT)


def give_freed_memory_back() -> None:
    """Give all free memory back to the system; nothing happens without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
