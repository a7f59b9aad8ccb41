import importlib
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from data import torchvision_loading
from data.torchvision_loading import load_torchvision

PROGRAM = """
from data.torchvision_loading import load_torchvision
torchvision = load_torchvision()
assert load_torchvision() is torchvision
network = torchvision.models.resnet18(num_classes=10)
assert sum(weight.numel() for weight in network.parameters()) == 11_181_642
"""


def test_it_loads_in_a_fresh_process_whatever_build_of_torch_there_is():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)


def test_a_torchvision_that_imports_is_left_alone(monkeypatch):
    whole = ModuleType("torchvision")
    monkeypatch.setattr(importlib, "import_module", lambda name: whole)
    monkeypatch.setattr(torch.library, "define", lambda *_: pytest.fail("declares an operator"))
    assert load_torchvision() is whole


def test_missing_operators_are_declared_once_the_import_breaks_off(monkeypatch):
    whole = ModuleType("torchvision")
    answers = iter([RuntimeError("operator torchvision::nms does not exist"), whole])
    declared: list[str] = []

    def import_module(name: str) -> ModuleType:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(torch.library, "define", lambda name, schema: declared.append(name))
    monkeypatch.setattr(torchvision_loading, "_is_declared", lambda name: False)
    monkeypatch.setattr(torchvision_loading, "_forget_torchvision", lambda: None)
    assert load_torchvision() is whole
    assert declared == ["torchvision::nms", "torchvision::qnms"]


def test_another_failure_is_not_hidden(monkeypatch):
    def import_module(name: str) -> ModuleType:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(RuntimeError, match="out of memory"):
        load_torchvision()
