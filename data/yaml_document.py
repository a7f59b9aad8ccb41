"""Reading a YAML document that a person wrote, with every fault told in the person's terms."""

from pathlib import Path

import yaml

from data.validation import Fault, InputError


def read_yaml(path: Path, remedy: str) -> tuple[object, list[Fault]]:
    """Read a document.

    Args:
        path: The YAML file.
        remedy: What to do where the file cannot be read.

    Returns:
        Its content as nested dicts, lists and scalars, and a fault for each key that stands twice
        in one section, where YAML would keep the last.

    Raises:
        InputError: The file is missing, no UTF-8 or no YAML.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
        document: object = yaml.safe_load(text)
        repeated = _repeated_keys(yaml.compose(text, Loader=yaml.SafeLoader), name)
    except OSError as error:
        raise InputError([Fault(name, f"cannot be read ({error.strerror})", remedy)]) from error
    except UnicodeDecodeError as error:
        raise InputError([Fault(name, "the text is not UTF-8", "Save it as UTF-8")]) from error
    except (yaml.YAMLError, ValueError) as error:
        message = "this is no valid YAML (" + " ".join(str(error).split()) + ")"
        raise InputError([Fault(name, message, "Correct the line it names")]) from error
    return document, repeated


def _repeated_keys(root: yaml.Node | None, name: str) -> list[Fault]:
    """A fault for each key that stands twice in one section, where YAML would keep the last."""
    faults: list[Fault] = []
    waiting, visited = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in visited or isinstance(node, yaml.ScalarNode):
            continue
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            faults += _repeated_in(node, name)
            waiting += [value for _, value in node.value]
        else:
            waiting += node.value
    return faults


def _repeated_in(node: yaml.MappingNode, name: str) -> list[Fault]:
    keys = [key for key, _ in node.value]
    texts = [str(key.value) for key in keys]
    return [
        Fault(name, f"line {key.start_mark.line + 1}: '{text}' stands there twice", "Keep one")
        for position, (key, text) in enumerate(zip(keys, texts, strict=True))
        if text in texts[:position]
    ]
