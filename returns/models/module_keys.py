"""Column names as keys of `nn.ModuleDict`, which takes neither dots nor names of its own."""

from torch import nn

ESCAPED = "<escaped>"
"""How a key begins that is no plain name."""

_TAKEN = frozenset(dir(nn.ModuleDict()))


def module_key(name: str) -> str:
    """Key of a name, another one for each name.

    Only names that torch refuses change, so that weights are stored under the names of old.

    Args:
        name: Of a column, or of a relation of the graph.
    """
    if name and "." not in name and name not in _TAKEN and not name.startswith(ESCAPED):
        return name
    return ESCAPED + name.replace("~", "~~").replace(".", "~-")
