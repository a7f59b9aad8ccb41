"""Work in threads: order, bounds, errors, and torch's own threads."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from returns.threads import in_threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@given(st.lists(st.integers(), max_size=20), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(items, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert list(in_threads(lambda item: 2 * item, items)) == [2 * item for item in items]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_two_items_are_worked_on_at_once_each_with_one_thread(two_threads):
    meeting = threading.Barrier(2, timeout=60)

    def meet(item):
        meeting.wait()
        return torch.get_num_threads()

    assert list(in_threads(meet, range(4))) == [1] * 4
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [torch.get_num_threads()] == [2]


def test_one_thread_does_all_itself():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        workers = list(in_threads(lambda item: threading.current_thread(), range(3)))
    finally:
        torch.set_num_threads(before)
    assert workers == [threading.current_thread()] * 3


@given(st.integers(1, 5), st.integers(1, 6))
def test_items_far_enough_apart_never_meet(threads, most):
    """Of as many owners as `most`, each has its items worked on one at a time, in order."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    locks, turns = [threading.Lock() for _ in range(most)], [[] for _ in range(most)]

    def work(item):
        owner = item % most
        assert locks[owner].acquire(blocking=False)
        turns[owner].append(item)
        locks[owner].release()

    try:
        list(in_threads(work, range(30), most=most))
    finally:
        torch.set_num_threads(before)
    assert turns == [list(range(owner, 30, most)) for owner in range(most)]


def test_one_item_at_a_time_has_all_threads(two_threads):
    assert list(in_threads(lambda item: torch.get_num_threads(), range(2), most=1)) == [2, 2]


def test_items_are_taken_as_they_are_needed(two_threads):
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_threads(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) < 10
    results.close()


def test_an_error_is_raised_where_the_result_is_taken(two_threads):
    def refuse(item):
        if item == 2:
            raise ValueError("two")
        return item

    results = in_threads(refuse, range(50))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
