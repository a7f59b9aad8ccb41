import numpy as np
import pytest

from data.dataset import Dataset
from returns.knowledge import EventArrays, fold_of
from returns.protocol import Protocol
from returns.snapshots import Snapshot, snapshots


def cut_split(
    dataset: Dataset, protocol: Protocol, split: str, label_delay_days: int = 0
) -> list[Snapshot]:
    targets = np.flatnonzero(dataset.split_mask(split))
    return snapshots(dataset, protocol, split, targets, label_delay_days)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("source", ["undated", "dated"])
def test_every_event_is_a_target_once(request, source, protocol, split):
    dataset = request.getfixturevalue(source)
    targets = np.concatenate([cut.targets for cut in cut_split(dataset, protocol, split)])
    assert np.array_equal(np.sort(targets), np.flatnonzero(dataset.split_mask(split)))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("delay", [0, 14])
def test_dated_messages_lie_strictly_before_their_targets(dated, split, delay):
    day = EventArrays.of(dated).day
    cuts = cut_split(dated, Protocol.STRICT, split, delay)
    for cut in cuts:
        assert (day[cut.messages] + delay < day[cut.targets].min()).all()
        assert not dated.split_mask(split)[cut.messages].any() or split == "train"
    assert sum(len(cut.messages) for cut in cuts) > 0


def test_undated_training_messages_come_from_other_folds(undated):
    arrays = EventArrays.of(undated)
    fold = fold_of(arrays.customer, arrays.variant)
    cuts = cut_split(undated, Protocol.STRICT, "train")
    assert len(cuts) > 1
    for cut in cuts:
        assert not set(fold[cut.targets]) & set(fold[cut.messages])
        assert undated.split_mask("train")[cut.messages].all()


@pytest.mark.parametrize(
    ("split", "heard"), [("validation", {"train"}), ("test", {"train", "validation"})]
)
def test_undated_scoring_hears_only_the_splits_before(undated, split, heard):
    (cut,) = cut_split(undated, Protocol.STRICT, split)
    assert set(undated.events["split"].take(cut.messages).to_pylist()) == heard


def test_the_paper_protocol_sends_the_halfs_own_events_without_labels(undated):
    for split, half in (("train", ("train", "validation")), ("test", ("test",))):
        (cut,) = cut_split(undated, Protocol.PAPER, split)
        assert not cut.labelled
        assert np.array_equal(cut.messages, np.flatnonzero(undated.split_mask(*half)))
