import json
from dataclasses import replace

from compression.studies.methods import Setting
from pipelines.compression_study.cells import Cell, CellKey, CellStore

KEY = CellKey("chita", Setting(0.01), 1, 0.9, 0, {"network": "small", "training": 10})


def test_a_kept_cell_is_found_again(tmp_path):
    store = CellStore(tmp_path / "cells")
    assert store.find(KEY) is None
    cell = Cell(KEY, {"test_accuracy": 0.91, "held_out_accuracy": 0.9}, 1.5, 0.25)
    store.keep(cell)
    assert CellStore(tmp_path / "cells").find(KEY) == cell


def test_whatever_a_cell_depends_on_is_in_its_name(tmp_path):
    others = [
        replace(KEY, method="mfac"),
        replace(KEY, setting=Setting(0.1)),
        replace(KEY, stages=15),
        replace(KEY, sparsity=0.95),
        replace(KEY, seed=1),
        replace(KEY, subject={"network": "small", "training": 11}),
    ]
    names = {key.name for key in [KEY, *others]}
    assert len(names) == len(others) + 1


def test_a_cell_says_in_its_file_what_it_is_of(tmp_path):
    CellStore(tmp_path).keep(Cell(KEY, {}, 0.0, 0.0))
    content = json.loads((tmp_path / KEY.name).read_text())
    assert content["key"]["setting"]["damping"] == 0.01
    assert content["figures"] == {}
