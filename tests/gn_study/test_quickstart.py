"""The quickstart of the documentation, run as it stands."""

from pathlib import Path

import torch

DOCUMENT = Path(__file__).parents[2] / "docs" / "gauss_newton.md"


def test_the_quickstart_trains():
    _, _, rest = DOCUMENT.read_text().partition("## Quickstart\n\n```python\n")
    code, fence, _ = rest.partition("```")
    assert fence
    torch.manual_seed(0)
    names: dict[str, object] = {}
    exec(compile(code, DOCUMENT.name, "exec"), names)
    assert len([line for line in code.splitlines() if line]) == 10
    assert float(names["loss"]) < 0.3
    model, inputs, targets = names["model"], names["inputs"], names["targets"]
    right = model(inputs[1500:] / 16).argmax(1) == targets[1500:]
    assert float(right.double().mean()) > 0.88
