"""Similarity between the representations that two runs ended with."""

import numpy as np
import torch

from gn_study.measures.cka import linear_cka
from pipelines.gauss_newton_study.run_store import FinishedRun


def pairwise_cka(first: FinishedRun, second: FinishedRun) -> float:
    """Debiased CKA between two runs' last block outputs on the same probes, mean over blocks.

    NaN where a run diverged or took no representations.
    """
    return float(np.mean(blockwise_cka(first, second)))


def blockwise_cka(first: FinishedRun, second: FinishedRun) -> list[float]:
    """Debiased CKA between two runs' outputs of each block."""
    if first.grams is None or second.grams is None:
        return [float("nan")]
    return [
        linear_cka(torch.from_numpy(one), torch.from_numpy(other))
        for one, other in zip(first.grams, second.grams, strict=True)
    ]
