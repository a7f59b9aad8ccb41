"""Which code made a model."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from data.files import digest_folder

PACKAGES = ("data", "returns", "pipelines")


@cache
def code_version() -> str:
    """The project's version, and the beginning of the digest of its source code."""
    root = Path(__file__).resolve().parents[1]
    digests = (digest_folder(root / package, "*.py") for package in PACKAGES)
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return f"{version('fashion-returns')}+{digest[:12]}"
