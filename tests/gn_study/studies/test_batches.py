"""Batches: every sample once an epoch, each batch beside the next."""

from itertools import chain, islice, pairwise

import pytest
import torch

from gn_study.studies.batches import batch_pairs, batches_per_epoch
from gn_study.studies.seeds import generator
from gn_study.studies.study_data import Part, StudyData


@pytest.fixture
def numbered() -> StudyData:
    """Ten samples whose only input is their number, as images of 1 x 1 pixels and 2 channels."""
    numbers = torch.arange(10.0)
    part = Part(torch.stack([numbers, numbers], dim=1), torch.zeros(10, dtype=torch.int64))
    return StudyData("numbers", part, part, part, 1, image_shape=(2, 1, 1))


def numbers_of(part: Part | None) -> list[float]:
    assert part is not None
    return [float(row[0]) for row in part.inputs]


def test_an_epoch_visits_every_sample_once(numbered: StudyData) -> None:
    assert batches_per_epoch(10, 4) == 3
    pairs = batch_pairs(numbered, 4, generator(0), None)
    epochs = [[numbers_of(batch) for batch, _ in islice(pairs, 3)] for _ in range(2)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [4, 4, 2]
        assert sorted(chain.from_iterable(epoch)) == list(range(10))
    assert epochs[0] != epochs[1]


def test_the_other_batch_is_the_next_one_even_across_epochs(numbered: StudyData) -> None:
    pairs = list(islice(batch_pairs(numbered, 4, generator(1), None), 7))
    for (_, other), (batch, _) in pairwise(pairs):
        assert numbers_of(other) == numbers_of(batch)


def test_the_order_repeats_with_its_seed_alone(numbered: StudyData) -> None:
    first, again, different = (
        [numbers_of(batch) for batch, _ in islice(batch_pairs(numbered, 3, generator(s), None), 8)]
        for s in (2, 2, 3)
    )
    assert first == again
    assert first != different


def test_a_full_batch_has_no_other_beside_it(numbered: StudyData) -> None:
    assert batches_per_epoch(10, None) == 1
    for batch, other in islice(batch_pairs(numbered, None, generator(0), None), 3):
        assert numbers_of(batch) == list(range(10))
        assert other is None


def test_images_are_cropped_and_others_refused(numbered: StudyData) -> None:
    batch, other = next(batch_pairs(numbered, 5, generator(0), generator(1)))
    # A crop of a single pixel is that pixel.
    assert sorted(numbers_of(batch) + numbers_of(other)) == pytest.approx(list(range(10)), abs=1e-5)
    flat = StudyData("flat", numbered.train, numbered.validation, numbered.test, 1)
    with pytest.raises(ValueError, match="flat has no images to crop"):
        next(batch_pairs(flat, 5, generator(0), generator(1)))
