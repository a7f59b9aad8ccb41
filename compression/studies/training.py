"""Training of the dense networks, one epoch at a time, so that it can be kept and resumed."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from compression.masking import exact_zeros, keep_zeros
from compression.studies.pictures import LabelledImages, cropped_and_flipped
from compression.studies.precision import computes_in_bfloat16


@dataclass(frozen=True)
class TrainingSettings:
    """How a dense network is trained.

    Attributes:
        epochs: Passes over the training images.
        cuts: Epochs and side in pixels of the smaller cuts that the network sees first, one after
            the other: work falls with the square of the side.
        batch_size: Images a step.
        learning_rate: Highest learning rate of the one-cycle schedule.
        warmup: Share of the steps until the learning rate is highest.
        momentum: Nesterov momentum.
        weight_decay: On all parameters.
        label_smoothing: Probability spread evenly over the classes.
        padding: Border in pixels within which whole images are shifted; smaller cuts lie inside.
        averaging: Share that the moving average of the weights keeps at every step.
        seed: Of order, cuts and flips.
    """

    epochs: int = 18
    cuts: tuple[tuple[int, int], ...] = ((10, 24),)
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    padding: int = 4
    averaging: float = 0.998
    seed: int = 0


class DenseTraining:
    """Stochastic gradient descent with a one-cycle learning rate, channels last.

    In bfloat16 where the device has it, else in float32.

    Attributes:
        settings: How it trains.
        epoch: Epochs done.
    """

    def __init__(
        self,
        network: nn.Module,
        images: LabelledImages,
        settings: TrainingSettings,
        device: torch.device | str = "cpu",
        keeps_zeros: bool = False,
    ) -> None:
        """Begin at the network's present weights.

        Args:
            network: Trained in place.
            images: The training images.
            settings: How to train.
            device: Where to train.
            keeps_zeros: Whether weights that are 0 now stay 0: fine-tuning of a pruned network.
                A state that is loaded brings along which they are.
        """
        self.settings = settings
        self.epoch = 0
        self._images = images
        self._device = torch.device(device)
        self._low_precision = computes_in_bfloat16(self._device)
        self._network = network.to(self._device).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )
        self._average = AveragedModel(
            self._network,
            multi_avg_fn=get_ema_multi_avg_fn(settings.averaging),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self._optimizer = torch.optim.SGD(
            self._network.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            settings.learning_rate,
            total_steps=settings.epochs * self.steps_per_epoch,
            pct_start=settings.warmup,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._zeros = exact_zeros(self._network) if keeps_zeros else None
        if self._zeros is not None:
            keep_zeros(self._network, self._optimizer, self._zeros)

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch; images beyond the last whole batch wait for the next shuffle."""
        return len(self._images) // self.settings.batch_size

    def run_epoch(self, report: Callable[[int, int, float], None] | None = None) -> float:
        """Train for one epoch.

        Args:
            report: Told after every step how many steps are done, of how many, and the loss.

        Returns:
            Mean training loss of the epoch, in nats.

        Raises:
            RuntimeError: All epochs are done, or the loss is not finite.
        """
        if self.epoch >= self.settings.epochs:
            raise RuntimeError(f"all {self.settings.epochs} epochs are done")
        self._network.train()
        total = 0.0
        for step, (inputs, labels) in enumerate(self._batches(), start=1):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._low_precision):
                logits = self._network(inputs)
            loss = nn.functional.cross_entropy(
                logits.float(), labels, label_smoothing=self.settings.label_smoothing
            )
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            self._average.update_parameters(self._network)
            total += loss.item()
            if not torch.isfinite(loss):
                raise RuntimeError(f"the loss is {loss.item()}; lower the learning rate")
            if report is not None:
                report(step, self.steps_per_epoch, total / step)
        self.epoch += 1
        return total / self.steps_per_epoch

    def averaged(self) -> nn.Module:
        """The network with the moving average of its weights, in evaluation mode, on the CPU."""
        network = copy.deepcopy(self._average.module)
        network.to("cpu").to(
            memory_format=torch.contiguous_format  # type: ignore[call-overload]
        )
        return network.eval()

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on: tensors, numbers and strings only."""
        return {
            "settings": asdict(self.settings),
            "epoch": self.epoch,
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "generator": self._generator.get_state(),
            "zeros": self._zeros,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ValueError: The state is of a training with other settings, or of one that kept zeros
                where this one does not, or the other way round.
        """
        if state["settings"] != asdict(self.settings):
            raise ValueError("the state is of a training with other settings")
        zeros = state.get("zeros")
        if (zeros is None) != (self._zeros is None):
            raise ValueError(
                f"the state is of a training with keeps_zeros={zeros is not None}: make this one "
                "with the same"
            )
        self.epoch = int(state["epoch"])
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._generator.set_state(state["generator"])
        if self._zeros is not None:
            # In place, as this is what is read after every step.
            for name, is_zero in self._zeros.items():
                is_zero.copy_(state["zeros"][name])

    def _side(self) -> int:
        """Side in pixels of what the network sees in this epoch."""
        until = 0
        for epochs, side in self.settings.cuts:
            until += epochs
            if self.epoch < until:
                return side
        return int(self._images.pixels.shape[-1])

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        settings, images = self.settings, self._images
        size = self._side()
        padding = settings.padding if size == images.pixels.shape[-1] else 0
        order = torch.randperm(len(images), generator=self._generator)
        for rows in torch.split(order, settings.batch_size)[: self.steps_per_epoch]:
            pixels = cropped_and_flipped(images.pixels[rows], padding, size, self._generator)
            yield images.normalised(pixels).to(self._device), images.labels[rows].to(self._device)
