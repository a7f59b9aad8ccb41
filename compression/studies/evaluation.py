"""How good a classifier is on labelled images."""

from dataclasses import dataclass

import torch
from torch import nn

from compression.studies.pictures import LabelledImages
from compression.studies.precision import computes_in_bfloat16


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
    network: nn.Module, images: LabelledImages, batch_size: int = 500, low_precision: bool = False
) -> Quality:
    """Score a classifier, in evaluation mode, on the device of its first parameter.

    Args:
        network: Its mode is left as it was.
        images: What to score it on.
        batch_size: Images a forward pass.
        low_precision: Whether to compute in bfloat16 where the device has it.
    """
    was_training = network.training
    network.eval()
    first = next(network.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    low_precision = low_precision and computes_in_bfloat16(device)
    correct, loss = 0, 0.0
    with torch.inference_mode():
        for batch in images.batches(batch_size):
            inputs, labels = (tensor.to(device) for tensor in batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=low_precision):
                logits = network(inputs).float()
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
    network.train(was_training)
    return Quality(correct / len(images), loss / len(images))
