"""gn_study needs torch and numpy, and nothing else."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys
import numpy, torch
allowed = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)
import gn_study
names = [module.name for module in pkgutil.walk_packages(gn_study.__path__, "gn_study.")]
for name in names:
    importlib.import_module(name)
found = {name.partition(".")[0] for name in sys.modules} - allowed - {"gn_study"}
print(len(names), sorted(found))
"""


def test_nothing_but_torch_and_numpy_is_imported():
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    number, _, found = ran.stdout.strip().partition(" ")
    assert int(number) > 10
    assert found == "[]"
