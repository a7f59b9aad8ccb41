"""The networks that the studies prune."""

import torch
from torch import Tensor, nn

from compression.studies.convolutions import Convolution


class MLPNet(nn.Module):
    """The multilayer perceptron that the WoodFisher, M-FAC and CHITA papers prune.

    784-40-20-10 with ReLU and no biases: 32,360 weights. Parameter names are those of the
    published checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 40, bias=False)
        self.fc2 = nn.Linear(40, 20, bias=False)
        self.fc3 = nn.Linear(20, 10, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, 10)` of normalised images `(batch, 1, 28, 28)`."""
        hidden = torch.relu(self.fc1(images.flatten(1)))
        logits: Tensor = self.fc3(torch.relu(self.fc2(hidden)))
        return logits


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., 2016, figure 2)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = Convolution(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                Convolution(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Features `(batch, channels_out, height / stride, width / stride)`."""
        residual = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features)))))
        return torch.relu(residual + self.shortcut(features))


LEAST_WIDTH = 8
"""Of a ResNet-18. On processors with AVX2 and nothing wider, torch 2.13 writes beyond its memory in
the backward pass of a 1 x 1 convolution with stride 2 of fewer channels, if images lie channels
last, as the studies lay them."""


class ResNet18(nn.Module):
    """ResNet-18 with the stem for 32 x 32 images: a 3 x 3 convolution and no pooling.

    Args:
        num_classes: Number of logits.
        width: Channels of the first stage; 64 in the paper.

    Raises:
        ValueError: The width is below 8.
    """

    def __init__(self, num_classes: int = 10, width: int = 64) -> None:
        super().__init__()
        if width < LEAST_WIDTH:
            raise ValueError(f"width must be {LEAST_WIDTH} or more, not {width}")
        self.conv1 = Convolution(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        channels = width
        for stage, stride in enumerate((1, 2, 2, 2)):
            channels_out = width * 2**stage
            stages.append(
                nn.Sequential(
                    BasicBlock(channels, channels_out, stride),
                    BasicBlock(channels_out, channels_out, 1),
                )
            )
            channels = channels_out
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, num_classes)` of normalised images `(batch, 3, 32, 32)`."""
        features = self.stages(torch.relu(self.bn1(self.conv1(images))))
        logits: Tensor = self.linear(features.mean((2, 3)))
        return logits
