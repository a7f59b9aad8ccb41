"""What may be written into a log or an answer of an error: no credentials, no order lines."""

import re
import traceback

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
LONGEST = 300


def told(error: BaseException) -> str:
    """Kind of an error and the first line of what it says, credentials of URLs left out."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {CREDENTIALS.sub('***@', lines[0])[:LONGEST]}"


def place_of(error: BaseException) -> str:
    """Kind of an error and where it was raised; what it says may hold a customer's data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames[::-1])
    return f"{type(error).__name__} in {where}"
