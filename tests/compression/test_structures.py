"""How many weights go, in which patterns, and that none comes back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression.errors import StructureError
from compression.parameters import collect_parameters
from compression.structures import make_candidates, select


def space_of():
    return collect_parameters(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, (1, 2)), nn.Linear(8, 3))
    )


SPACE = space_of()
STRUCTURES = ["unstructured", "block4", (2, 4), (1, 2)]


def chosen(structure, scores, mask, sparsity, scope="global"):
    candidates = make_candidates(SPACE, structure)
    return candidates, select(candidates, candidates.total(scores), mask, sparsity, scope)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(STRUCTURES),
    st.sampled_from(["global", "layer"]),
    st.integers(0, 1000),
    st.lists(st.floats(0, 0.5), min_size=2, max_size=3).map(sorted),
)
def test_counts_are_exact_and_nothing_comes_back(structure, scope, seed, sparsities):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(SPACE.size, dtype=torch.bool)
    for sparsity in sparsities:
        # Few different scores, so that there are equals.
        scores = torch.randint(5, (SPACE.size,), generator=generator).double()
        candidates, new = chosen(structure, scores, mask, sparsity, scope)
        assert not (new & ~mask).any()
        assert not (~new & ~candidates.reachable).any()
        wanted = [sparsity * int(candidates.reachable.sum())]
        found = [int((~new & candidates.reachable).sum())]
        if scope == "layer":
            slots = [slot for slot in SPACE.slots if candidates.reachable[slot.positions].any()]
            wanted = [sparsity * (slot.stop - slot.start) for slot in slots]
            found = [int((~new[slot.positions]).sum()) for slot in slots]
        most_below = 4.5 if structure == "block4" else 0.5
        for number, goal in zip(found, wanted, strict=True):
            assert goal - most_below <= number <= goal + 0.5
        mask = new


def test_the_lowest_scores_go():
    scores = torch.arange(SPACE.size).double().flip(0)
    mask = torch.ones(SPACE.size, dtype=torch.bool)
    candidates, new = chosen("unstructured", scores, mask, 0.3)
    assert scores[~new].max() < scores[new & candidates.reachable].min()
    assert new[~SPACE.prunable].all()


def test_two_of_four_holds_along_the_inputs_of_every_layer_it_divides():
    scores = torch.rand(SPACE.size, dtype=torch.float64)
    mask = torch.ones(SPACE.size, dtype=torch.bool)
    _, new = chosen((2, 4), scores, mask, 0.5)
    views = SPACE.unflatten(new)
    assert views["0.weight"].all()
    convolution = views["1.weight"].movedim(1, -1).reshape(-1, 4)
    linear = views["2.weight"].reshape(-1, 4)
    for groups in (convolution, linear):
        assert (groups.sum(1) == 2).all()
    values = SPACE.unflatten(scores)["2.weight"].reshape(-1, 4)
    assert (values.masked_fill(linear, 0).amax(1) < values.masked_fill(~linear, 1).amin(1)).all()


def test_on_the_way_to_two_of_four_no_group_loses_more():
    scores = torch.rand(SPACE.size, dtype=torch.float64)
    mask = torch.ones(SPACE.size, dtype=torch.bool)
    for sparsity in (0.2, 0.4, 0.5):
        candidates, mask = chosen((2, 4), scores.flip(0), mask, sparsity)
        assert (mask[candidates.limit.groups].sum(1) >= 2).all()


def test_blocks_go_whole_by_the_sum_of_their_scores():
    scores = torch.rand(SPACE.size, dtype=torch.float64)
    mask = torch.ones(SPACE.size, dtype=torch.bool)
    candidates, new = chosen("block4", scores, mask, 0.5)
    kept = new[candidates.parts[0].positions]
    assert torch.equal(kept.all(1), kept.any(1))
    sums = scores[candidates.parts[0].positions].sum(1)
    assert sums[~kept.any(1)].max() < sums[kept.any(1)].min()


def test_in_each_layer_or_in_all_together():
    scores = torch.where(torch.arange(SPACE.size) < 108, 0.0, 1.0)
    mask = torch.ones(SPACE.size, dtype=torch.bool)
    assert chosen("unstructured", scores, mask, 0.3)[1][108:].all()
    _, new = chosen("unstructured", scores, mask, 0.5, "layer")
    assert SPACE.unflatten(new)["2.weight"].sum() == 12


def test_patterns_that_suit_nothing_are_refused():
    space = collect_parameters(nn.Sequential(nn.Embedding(8, 8), nn.Linear(3, 4)))
    with pytest.raises(StructureError, match="4 divides"):
        make_candidates(space, "block4")
    for nonsense in ((4, 2), (0, 4), "rows"):
        with pytest.raises(StructureError, match="structure must be"):
            make_candidates(SPACE, nonsense)
