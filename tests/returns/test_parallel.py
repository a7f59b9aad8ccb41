"""Two processes that train together: the same gradient, the same weights, no leak."""

import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.dataset import index_tables
from returns import parallel

WORK = Path(__file__).with_name("two_processes.py")
KINDS = ("undated", "dated")


@pytest.fixture(scope="module")
def cases(undated_tables, dated_tables, relabel):
    """Synthetic sources as they are, and with the labels of a split in another order."""

    def permuted(tables, split):
        dataset, _ = index_tables(tables)
        chosen = np.flatnonzero(dataset.split_mask(split))
        labels = dataset.events["returned"].to_numpy().copy()
        labels[chosen] = np.random.default_rng(0).permutation(labels[chosen])
        return relabel(tables, labels)

    found = {}
    for kind, tables in zip(KINDS, (undated_tables, dated_tables), strict=True):
        found[f"{kind} as they are"] = tables
        found[f"{kind}, test permuted"] = permuted(tables, "test")
        found[f"{kind}, train permuted"] = permuted(tables, "train")
    return found


@pytest.fixture(scope="module")
def found(cases, tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "cases.pickle").write_bytes(pickle.dumps(cases))
    processes = [
        subprocess.Popen([sys.executable, WORK, str(folder), str(rank)]) for rank in (0, 1)
    ]
    assert [process.wait() for process in processes] == [0, 3]
    files = [folder / f"{rank}.pickle" for rank in (0, 1)]
    return [pickle.loads(file.read_bytes()) for file in files]  # noqa: S301 (written just now)


def same_bits(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_processes_tell_each_other(found):
    for each in found:
        assert each["shared"] == "from 0"
        assert each["gathered"] == [0, 1]
        assert each["summed"].tolist() == [3.0, 1.0]


def test_one_process_alone_tells_itself():
    assert (parallel.rank(), parallel.world_size()) == (0, 1)
    assert parallel.shared("alone") == "alone"
    assert parallel.gathered("alone") == ["alone"]
    assert parallel.summed(np.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_have_the_gradient_of_one(found, cases, kind):
    """Also where one of them has no event of a batch."""
    work = runpy.run_path(str(WORK))
    tables = cases[f"{kind} as they are"]
    alone = work["gradients"](work["event_sets"](tables)["train"])
    assert len(alone) == 2
    for each in found:
        together = each[f"{kind} as they are, gradients"]
        for one, two in zip(alone, together, strict=True):
            assert one.dtype == np.float64
            assert np.abs(one[1:]).max() > 1e-3
            np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-12)


def test_all_processes_end_with_the_same_model(found, cases):
    for case in cases:
        assert same_bits(found[0][case], found[1][case])


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_fixes_every_bit(found, kind):
    case = f"{kind} as they are"
    assert same_bits(found[0][case], found[0][f"{case}, again"])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_the_scored_split_change_no_bit(found, kind):
    as_they_are = found[0][f"{kind} as they are"]
    assert same_bits(as_they_are, found[0][f"{kind}, test permuted"])
    for key in ("scores", "refitted scores"):
        assert not np.array_equal(as_they_are[key], found[0][f"{kind}, train permuted"][key])


def test_the_first_process_has_the_whole_stack(found):
    assert np.array_equal(found[0]["stack"], found[1]["stack"])
    assert ((found[0]["stack's scores"] > 0) & (found[0]["stack's scores"] < 1)).all()


def test_the_loss_of_a_process_is_noticed(found):
    assert "process 0 of 2 has lost another" in found[0]["lost"]
