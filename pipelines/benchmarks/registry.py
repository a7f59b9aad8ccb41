"""Every benchmark case by its name on the command line."""

from collections.abc import Callable
from importlib import import_module

from pipelines.benchmarks.case import Case

CASES: dict[str, str] = {
    "full_batch_step": "pipelines.benchmarks.full_batch_step.FullBatchStep",
    "sampling": "pipelines.benchmarks.sampling.Sampling",
    "scoring": "pipelines.benchmarks.scoring.Scoring",
    "predict": "pipelines.benchmarks.predicting.Predicting",
    "several_processes": "pipelines.benchmarks.several_processes.SeveralProcesses",
    "growth": "pipelines.benchmarks.growth.Growth",
    "gauss_newton_step": "pipelines.benchmarks.gauss_newton_step.GaussNewtonStep",
    "pruning": "pipelines.benchmarks.pruning.Pruning",
    "dense_training": "pipelines.benchmarks.dense_training.DenseTrainingStep",
    "serving": "pipelines.benchmarks.serving.Serving",
}
"""Import path of each class: nothing is imported before it is used."""


def create(name: str) -> Case:
    """The case of that name.

    Raises:
        ValueError: There is no such case; names those there are.
    """
    if name not in CASES:
        raise ValueError(f"unknown case '{name}'; there are: {', '.join(CASES)}")
    module, _, class_name = CASES[name].rpartition(".")
    made: Callable[[], Case] = getattr(import_module(module), class_name)
    return made()
