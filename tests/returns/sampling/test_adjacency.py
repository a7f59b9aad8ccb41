import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from returns.sampling.adjacency import Adjacency, HiddenEdges

NUM_SOURCES, NUM_DESTINATIONS = 5, 4
EDGES = st.lists(
    st.tuples(
        st.integers(0, NUM_SOURCES - 1), st.integers(0, NUM_DESTINATIONS - 1), st.integers(0, 6)
    ),
    max_size=30,
)


def edge_index_of(edges) -> np.ndarray:
    return np.array([edge[:2] for edge in edges], dtype=np.int64).reshape(-1, 2).T


@given(EDGES, st.lists(st.integers(-1, 8), min_size=1, max_size=3, unique=True), st.data())
def test_before_a_time_lie_exactly_the_earlier_edges_earliest_first(edges, times, data):
    time = np.array([edge[2] for edge in edges], dtype=np.int64)
    kept = np.array(data.draw(st.tuples(*[st.booleans()] * len(edges))), dtype=bool)
    adjacency = Adjacency.of(edge_index_of(edges), NUM_DESTINATIONS, kept, time)
    nodes = np.repeat(np.arange(NUM_DESTINATIONS), len(times))
    rank = np.tile(np.arange(len(times)), NUM_DESTINATIONS)
    end = adjacency.end_before(nodes, np.array(times), rank)
    for node, limit, stop in zip(nodes, np.array(times)[rank], end, strict=True):
        found = adjacency.edge[adjacency.start[node] : stop]
        expected = [
            number
            for number, (_, destination, day) in enumerate(edges)
            if destination == node and day < limit and kept[number]
        ]
        assert sorted(found) == expected
        assert list(time[found]) == sorted(time[found])
        assert [adjacency.source[adjacency.place[edge]] for edge in found] == [
            edges[edge][0] for edge in found
        ]


@given(EDGES, st.lists(st.tuples(st.integers(0, NUM_SOURCES), st.integers(0, 3)), max_size=8))
def test_edges_between_pairs_are_found_once_each(edges, pairs):
    adjacency = Adjacency.of(edge_index_of(edges), NUM_DESTINATIONS)
    source, destination = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    found = adjacency.edges_between(source, destination)
    assert sorted(found) == [n for n, edge in enumerate(edges) if edge[:2] in set(pairs)]


@given(EDGES, st.data())
def test_visible_edges_are_ranked_around_the_hidden_ones(edges, data):
    adjacency = Adjacency.of(edge_index_of(edges), NUM_DESTINATIONS)
    hides = data.draw(st.tuples(*[st.booleans()] * len(edges)))
    hidden = HiddenEdges.of(adjacency, np.flatnonzero(np.array(hides, dtype=bool)))
    visible = np.flatnonzero(~hidden.mask)
    assert np.array_equal(hidden.visible_before(visible), np.arange(len(visible)))
    assert np.array_equal(hidden.place_of_visible(np.arange(len(visible))), visible)


def test_numbers_beyond_32_bits_are_kept():
    far = 2**31 + 5
    adjacency = Adjacency.of(np.array([[far, 3], [0, 0]]), num_destinations=1)
    assert adjacency.source.tolist() == [3, far]
