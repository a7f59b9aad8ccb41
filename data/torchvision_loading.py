"""Importing torchvision beside a torch that lacks the operators of its compiled library.

The published wheel of torchvision is built for one CUDA version. Beside a CPU build of torch its
library does not load, and `import torchvision` fails at the first operator it describes to the
compiler. Data sets, networks and transforms need none of those operators: declaring the two that
are described on import is enough.
"""

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def load_torchvision() -> ModuleType:
    """Import torchvision, declaring the operators it misses only where the plain import fails.

    Returns:
        The module `torchvision`.

    Raises:
        RuntimeError: If it cannot be imported for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    _forget_torchvision()
    for name, schema in _SCHEMAS.items():
        if not _is_declared(name):
            torch.library.define(name, schema)
    return importlib.import_module("torchvision")


def _is_declared(name: str) -> bool:
    namespace, operator = name.split("::")
    return hasattr(getattr(torch.ops, namespace), operator)


def _forget_torchvision() -> None:
    """Drop the modules of an import that broke off, so that the next one starts anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
