"""The test split, prepared for models to score."""

from data.dataset import Dataset
from returns.event_set import EventSet
from returns.knowledge import EventArrays
from returns.memory import Memory, split_tables
from returns.preparation import Preparation


def prepared_test(dataset: Dataset, preparation: Preparation, memory: Memory) -> EventSet:
    """The test split, by the road that new events take in production wherever there is one.

    New events come after all that is remembered, so from their first day on nothing is heard. A
    test that begins earlier, as it does where dated events are split by customer or by a column,
    would be scored almost without a past. Its events are prepared as validation's are: each hears
    labels of training and validation events from strictly earlier days.

    Args:
        dataset: All events and node rows.
        preparation: Fitted on the training events.
        memory: Of the dataset.
    """
    if not _comes_last(dataset):
        return preparation.event_set(dataset, "test")
    new = memory.with_new(split_tables(dataset, ("test",), preparation.protocol))
    return preparation.event_set(new, "test")


def _comes_last(dataset: Dataset) -> bool:
    """Whether the test begins after training and validation have ended; undated data say so."""
    day = EventArrays.of(dataset).day
    if day is None:
        return True
    before = day[dataset.split_mask("train", "validation")]
    test = day[dataset.split_mask("test")]
    return not len(before) or not len(test) or bool(before.max() < test.min())
