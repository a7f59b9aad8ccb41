"""The features of return prediction as inputs of the study."""

import numpy as np
import torch

from data.dataset import Dataset
from gn_study.studies.study_data import Part, StudyData, even_width
from pipelines.gauss_newton_study.data_options import DataOptions
from pipelines.gauss_newton_study.parts import drawn
from returns.dense import DenseEncoder
from returns.event_set import EventSet
from returns.preparation import Preparation
from returns.protocol import Protocol


def returns_data(options: DataOptions, dataset: Dataset, source: str) -> StudyData:
    """Dense features and labels of order lines, in the data set's own split.

    Features are those of every neural model of `train` under the strict protocol; order lines are
    drawn at random from each part, and weighted alike.

    Args:
        options: How many of each part.
        dataset: All events and node rows.
        source: Name of its source, with the word that synthetic data never goes without.

    Raises:
        InputError: A part has too few labelled order lines.
    """
    preparation = Preparation.fit(dataset, Protocol.STRICT)
    train = preparation.event_set(dataset, "train")
    encoder = DenseEncoder().fit(train.features, train.weights)

    def part(events: EventSet, number: int | None, split: str) -> Part:
        labelled = np.flatnonzero(events.labels >= 0)
        rows = labelled[drawn(number, len(labelled), options, split).numpy()]
        inputs = torch.from_numpy(encoder.transform(events.features)[rows])
        return Part(even_width(inputs), torch.from_numpy(events.labels[rows]).long())

    return StudyData(
        f"returns of {source}",
        train=part(train, options.train, "train"),
        validation=part(
            preparation.event_set(dataset, "validation"), options.validation, "validation"
        ),
        test=part(preparation.event_set(dataset, "test"), options.test, "test"),
        num_outputs=2,
    )
