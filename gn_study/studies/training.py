"""Train one network and record everything that the study needs of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined]
from torch.optim import Optimizer

from gn_study.measures.update_effect import BatchLosses, UpdateEffect
from gn_study.revmlp import RevMLP
from gn_study.studies.batches import batch_pairs, batches_per_epoch
from gn_study.studies.configuration import Experiment, NetworkOptions
from gn_study.studies.diagnosis import diagnosis
from gn_study.studies.evaluation import evaluate
from gn_study.studies.optimisers import Loss, create_loss, create_optimiser, diagnose, step
from gn_study.studies.probing import Probe
from gn_study.studies.record import NOT_MEASURED, Columns, Record
from gn_study.studies.seeds import Seeds, generator
from gn_study.studies.study_data import Part, StudyData

Report = Callable[[int, Mapping[str, float]], None]
"""Hears the row of each epoch; the state before training is epoch 0."""


def train(
    experiment: Experiment, data: StudyData, report: Report, device: torch.device | None = None
) -> Record:
    """Run an experiment.

    A row of `Record.epochs` has `epoch`, `train_loss`, `train_accuracy` and the same of
    `validation` and `test`, or of those parts that are asked for (for regression the accuracy is R
    squared), the mean `step_seconds` of an update, and what `Probe.compare` returns. A row of
    `Record.steps` has `step` (updates before), `epoch`, the batch's `loss` before the update, the
    percentage changes `same`, `other` and `held_out`, and what `diagnosis` returns.

    Args:
        experiment: What to do.
        data: What to do it on.
        report: Hears each epoch's row.
        device: Where; None: the CPU.
    """
    seeds = Seeds.of(experiment.seed)
    device = device or torch.device("cpu")
    data = data.to(device)
    model = create_network(experiment.network, data, seeds, device)
    run = _Run(experiment, data, model, seeds)
    diverged = False
    with torch.random.fork_rng():
        torch.manual_seed(seeds.noise)
        for epoch, row in run.rows():
            report(epoch, row)
            diverged = _has_diverged(row)
            if diverged:
                break
    return Record(
        epochs=run.epochs.values,
        steps=run.steps.values,
        grams=None if diverged else run.probe.grams(),
        seeds=seeds,
        diverged=diverged,
        num_parameters=sum(tensor.numel() for tensor in model.trained_parameters().values()),
    )


def create_network(
    options: NetworkOptions, data: StudyData, seeds: Seeds, device: torch.device
) -> RevMLP:
    """The network of an experiment, as wide as the inputs.

    Args:
        options: Of the network.
        data: Whose inputs and outputs it connects.
        seeds: Of its weights.
        device: Where it lies.
    """
    return RevMLP(
        data.width,
        num_blocks=options.num_blocks,
        hidden=options.hidden,
        outputs=data.num_outputs,
        activation=options.activation,
        first_activation=options.first_activation,
        bias=options.bias,
        init_std=options.init_std,
        seed=seeds.network,
        rebuild=False,
        dtype=data.train.inputs.dtype,
        device=device,
    )


class _Run:
    """One training in progress."""

    def __init__(
        self, experiment: Experiment, data: StudyData, model: RevMLP, seeds: Seeds
    ) -> None:
        self._experiment, self._data, self._model, self._seeds = experiment, data, model, seeds
        self._held_out = data.validation.first(experiment.measuring.held_out_samples)
        self._per_epoch = batches_per_epoch(len(data.train), experiment.batch_size)
        self._pairs = batch_pairs(
            data,
            experiment.batch_size,
            generator(seeds.order),
            generator(seeds.augmentation) if experiment.augment else None,
        )
        self._done = 0
        self.probe = Probe(model, data, experiment.measuring, seeds)
        self.epochs, self.steps = Columns(), Columns()

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Train; yields each epoch's row, with infinite losses where training diverged."""
        epoch = 0
        yield epoch, self._row(epoch, NOT_MEASURED)
        for phase in self._experiment.phases:
            loss = create_loss(self._data.is_classification, phase.optimiser)
            optimiser = create_optimiser(phase.optimiser, self._model, loss)
            for _ in range(phase.epochs):
                epoch += 1
                try:
                    seconds = self._epoch(optimiser, loss)
                except (FloatingPointError, LinAlgError):
                    yield epoch, self._diverged_row(epoch)
                    return
                yield epoch, self._row(epoch, seconds)

    def _epoch(self, optimiser: Optimizer, loss: Loss) -> float:
        """Make the updates of an epoch; mean seconds of an update that was not measured."""
        every = self._experiment.measuring.steps_every
        seconds: list[float] = []
        for batch, other in islice(self._pairs, self._per_epoch):
            measured = every > 0 and self._done % every == 0
            before = self._losses(batch, other) if measured else None
            diagnose(optimiser, measured)
            started = time.perf_counter()
            step(self._model, optimiser, loss, batch.inputs, batch.targets)
            if batch.inputs.is_cuda:
                torch.cuda.synchronize(batch.inputs.device)
            if not measured:
                seconds.append(time.perf_counter() - started)
            if before is not None:
                self._record_step(before, self._losses(batch, other), optimiser)
            self._done += 1
        return sum(seconds) / len(seconds) if seconds else NOT_MEASURED

    def _losses(self, batch: Part, other: Part | None) -> BatchLosses:
        return BatchLosses(
            same=evaluate(self._model, batch).loss,
            other=NOT_MEASURED if other is None else evaluate(self._model, other).loss,
            held_out=evaluate(self._model, self._held_out).loss,
        )

    def _record_step(self, before: BatchLosses, after: BatchLosses, optimiser: Optimizer) -> None:
        effect = UpdateEffect.between(before, after)
        self.steps.append(
            {
                "step": self._done,
                "epoch": self._done / self._per_epoch,
                "loss": before.same,
                "same": effect.same,
                "other": effect.other,
                "held_out": effect.held_out,
                **diagnosis(optimiser),
            }
        )

    def _row(self, epoch: int, seconds: float) -> dict[str, float]:
        row = {"epoch": epoch, "step_seconds": seconds}
        for title in self._experiment.measuring.parts:
            score = evaluate(self._model, self._data.parts[title])
            row |= {f"{title}_loss": score.loss, f"{title}_accuracy": score.accuracy}
        if _has_diverged(row):
            return self._diverged_row(epoch)
        row |= self.probe.compare(epoch)
        self.epochs.append(row)
        return row

    def _diverged_row(self, epoch: int) -> dict[str, float]:
        row = {"epoch": float(epoch)}
        row |= {f"{title}_loss": float("inf") for title in self._experiment.measuring.parts}
        self.epochs.append(row)
        return row


def _has_diverged(row: Mapping[str, float]) -> bool:
    return not all(value < float("inf") for name, value in row.items() if name.endswith("_loss"))
