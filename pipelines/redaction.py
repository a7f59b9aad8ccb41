"""What may be printed, logged or answered: no credentials, and of errors no order lines."""

import re
import traceback

# A password may itself hold a slash or an @: everything up to the last @ goes.
CREDENTIALS = re.compile(r"(?<=://)\S+@")
LONGEST = 300


def without_credentials(text: str) -> str:
    """A text, credentials of URLs left out."""
    return CREDENTIALS.sub("***@", text)


def told(error: BaseException) -> str:
    """Kind of an error and the first line of what it says, credentials of URLs left out."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {without_credentials(lines[0])[:LONGEST]}"


def place_of(error: BaseException) -> str:
    """Kind of an error and where it was raised; what it says may hold a customer's data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames[::-1])
    return f"{type(error).__name__} in {where}"
