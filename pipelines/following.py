"""What a process other than the first does in `train`: its part of the models learned together."""

from collections.abc import Sequence

from data.dataset import Dataset
from data.reporter import SilentReporter
from returns.knowledge import LEARNING
from returns.models.base import ReturnClassifier
from returns.preparation import Preparation
from returns.protocol import Protocol


def learn_along(
    models: Sequence[ReturnClassifier],
    dataset: Dataset,
    protocol: Protocol,
    label_delay_days: int,
    refit: bool,
) -> None:
    """Fit models, and refit them, as `Experiment.run` does at the same time in the first process.

    Args:
        models: Those that several processes learn together, in the first process's order.
        dataset: All events and node rows.
        protocol: Strict or paper.
        label_delay_days: Days after the order until its label is known (dated data).
        refit: Whether they learn anew from training and validation events together.

    Raises:
        ProcessLostError: Another process has ended.
    """
    if not models:
        return
    preparation = Preparation.fit(dataset, protocol, label_delay_days)
    train = preparation.event_set(dataset, "train")
    validation = preparation.event_set(dataset, "validation")
    learning = preparation.event_set(dataset, LEARNING) if refit else None
    reporter = SilentReporter()
    for model in models:
        model.fit(train, validation, reporter)
        if learning is not None:
            model.refit(learning, reporter)
