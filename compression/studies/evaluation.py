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


def evaluate(network: nn.Module, images: LabelledImages, batch_size: int = 500) -> Quality:
    """Score a classifier, in evaluation mode, on the device of its first parameter.

    Args:
        network: Its mode is left as it was.
        images: What to score it on.
        batch_size: Images a forward pass.
    """
    was_training = network.training
    network.eval()
    first = next(network.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    correct, loss = 0, 0.0
    with torch.inference_mode():
        for batch in images.batches(batch_size):
            inputs, labels = (tensor.to(device) for tensor in batch)
            logits = network(inputs).float()
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
    network.train(was_training)
    return Quality(correct / len(images), loss / len(images))
