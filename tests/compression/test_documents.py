"""What the documents say: every block of docs/pruning.md runs, and few packages are needed."""

import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, pkgutil, sys
import safetensors.torch, torch, torch.onnx
import torch.func, torch.nn.attention, torch.optim.swa_utils
before = set(sys.modules)
import compression
for module in pkgutil.walk_packages(compression.__path__, "compression."):
    importlib.import_module(module.name)
found = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(found - set(sys.stdlib_module_names) - {"compression", "torch", "safetensors"}))
"""


def test_every_block_of_the_guide_runs_in_order(tmp_path, monkeypatch):
    """On synthetic images of two classes and a network as torchvision's are made."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    images = torch.randn(64, 1, 6, 6)
    images[labels == 0, :, :, :3] += 1
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels), batch_size=16
    )
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)),
    )
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/pruning.md").read_text(), re.DOTALL)
    lines = [line for line in blocks[0].splitlines() if line and " import " not in line]
    assert len(lines) <= 10
    monkeypatch.chdir(tmp_path)
    names = {"model": model, "loader": loader}
    for block in blocks:
        exec(block, names)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("small.safetensors", "surgeon.safetensors", "smaller.onnx")
    }
    assert names["pruned"] is model
    sizes = [sum(one.numel() for one in names[it].parameters()) for it in ("smaller", "pruned")]
    assert sizes[0] < sizes[1]
    codes = torch.cat([weight.codes.flatten() for weight in names["weights"].values()])
    assert (codes == 0).float().mean() > 0.94


def test_importing_the_package_takes_torch_and_safetensors_alone():
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
