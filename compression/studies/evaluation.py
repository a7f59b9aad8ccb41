"""How good a classifier is on labelled images."""

from dataclasses import dataclass

import torch
from torch import nn

from compression.studies.pictures import LabelledImages


@dataclass(frozen=True)
class Quality:
    """Figures of a classifier on one split.

    Attributes:
        accuracy: Share of images whose most probable class is the label.
        cross_entropy: Mean negative log-probability of the label, in nats.
    """

    accuracy: float
    cross_entropy: float


def evaluate(
    network: nn.Module,
    images: LabelledImages,
    batch_size: int = 500,
    device: torch.device | str = "cpu",
    low_precision: bool = False,
) -> Quality:
    """Score a classifier, in evaluation mode.

    Args:
        network: On `device`; its mode is left as it was.
        images: What to score it on.
        batch_size: Images a forward pass.
        device: Where the network is.
        low_precision: Whether to compute in bfloat16: faster, and less exact.
    """
    was_training = network.training
    network.eval()
    correct, loss = 0, 0.0
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=low_precision):
        for inputs, labels in images.batches(batch_size):
            wanted = labels.to(device)
            logits = network(inputs.to(device)).float()
            correct += int((logits.argmax(1) == wanted).sum())
            loss += float(nn.functional.cross_entropy(logits, wanted, reduction="sum"))
    network.train(was_training)
    return Quality(correct / len(images), loss / len(images))
