import sys

import numpy as np
import pytest
import torch

from pipelines.benchmarks.measurement import CPU, PEAK, WALL
from pipelines.benchmarks.measuring import once, peak_gib, resident_gib, times_in_turns
from pipelines.benchmarks.others import others_busy
from pipelines.benchmarks.roofline import Machine, Work, roofline

linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


def test_contenders_take_turns_after_a_warm_up():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    measurements = times_in_turns("task", contenders, repeats=2)
    assert "".join(calls) == "ab" + "abab"
    assert [(row.contender, row.quantity) for row in measurements] == [
        *(("a", WALL), ("a", CPU)),
        *(("b", WALL), ("b", CPU)),
    ]
    assert all(len(row.values) == 2 for row in measurements)


def test_times_are_those_of_one_part_of_the_task():
    def work():
        np.ones(1 << 20).sum()

    whole, _ = times_in_turns("task", {"a": work}, repeats=3)
    part, _ = times_in_turns("task", {"a": work}, repeats=3, size=1000)
    assert part.spread.median < whole.spread.median / 10


@linux_alone
def test_the_peak_is_found_even_if_the_memory_is_freed_again():
    def take(megabytes):
        np.ones(megabytes << 17)

    before = resident_gib()
    assert peak_gib(lambda: take(256)) - before == pytest.approx(0.25, abs=0.03)
    assert resident_gib() - before < 0.05
    _, _, peak = once("task", "a", lambda: take(128))
    assert peak.quantity == PEAK
    assert peak.values[0] - before == pytest.approx(0.125, abs=0.03)


def test_the_longer_of_arithmetic_and_traffic_is_the_bound():
    machine = Machine(flops_per_second=100.0, bytes_per_second=10.0)
    assert machine.bound(Work(flops=500.0, bytes=20.0)) == 5.0
    assert machine.bound(Work(flops=100.0, bytes=20.0)) == 2.0
    rows = {row.quantity: row.values[0] for row in roofline("task", machine, Work(0.0, 20.0))}
    assert rows == pytest.approx({WALL: 2.0, "GB": 2e-8, "GFLOP/s": 1e-7, "GB/s": 1e-8})


def test_the_machines_rates_are_those_of_products_and_copies():
    machine = Machine.measure()
    a = torch.ones(512, 512)
    (wall, _) = times_in_turns("task", {"product": lambda: a @ a}, repeats=5)
    assert machine.bound(Work(2 * 512**3, 0.0)) < 2 * max(wall.values)
    assert 1e8 < machine.bytes_per_second < 1e13


@linux_alone
def test_only_the_work_of_others_disturbs():
    with others_busy() as others:
        np.linalg.svd(np.random.default_rng(0).random((300, 300)))
    assert others.cores is not None
    assert 0 <= others.cores < 1024
