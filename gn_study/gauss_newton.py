"""What the Gauss-Newton optimizers share: closures, parameter groups, update, diagnostics."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from gn_study.derivative import output_derivative
from gn_study.direction import Diagnostics
from gn_study.losses import CrossEntropy, OutputLoss
from gn_study.minimum_norm import MinNormDiagnostics
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.reversible_network import Evaluation, ReversibleNetwork

Closure = Callable[[], Tensor | float]
"""Evaluates the network, calls `backward` on the loss if it likes, and returns the loss."""
Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]


@dataclass(frozen=True)
class StepDiagnostics:
    """How a step came about.

    Attributes:
        direction: How its direction did.
        predicted_change: Of the closure's loss, to first order; None unless `diagnose`.
        realised_change: Of the closure's loss, evaluated once more after the step; None unless
            `diagnose`.
    """

    direction: Diagnostics | MinNormDiagnostics
    predicted_change: float | None
    realised_change: float | None


@dataclass(frozen=True)
class Batch:
    """All samples of the evaluations in a closure.

    Attributes:
        inputs: `(num_samples, width)`.
        features: State after the last block, `(num_samples, width)`.
        gradient: Of the closure's loss with respect to the outputs, `(num_samples, num_outputs)`.
        error: What the outputs shall decrease by in a step of size one, `(num_samples,
            num_outputs)`.
    """

    inputs: Tensor
    features: Tensor
    gradient: Tensor
    error: Tensor


class GaussNewton(torch.optim.Optimizer):
    """What the Gauss-Newton optimizers share: closures, groups, update, diagnostics.

    `step` needs a closure, the same as any torch optimizer takes. The passes that it records give
    the gradient with respect to the outputs, which is all that is needed of the loss; gradients of
    parameters are neither computed nor read. So a penalty on the weights does not belong into the
    closure; use `weight_decay`. A loss that is a mean is one over the samples of all passes
    together: the mean of a pass counts as much as the pass has samples.

    Attributes:
        diagnostics: Of the last step; None before the first.
    """

    diagnostics: StepDiagnostics | None

    def __init__(
        self,
        model: ReversibleNetwork,
        lr: float,
        params: Parameters | None,
        loss: OutputLoss | None,
        weight_decay: float,
        pseudo_inverse: PseudoInverse | None,
        strict: bool,
        diagnose: bool,
    ) -> None:
        """Take the network's trained parameters.

        Args:
            model: The network.
            lr: Step size; one step of size 1 fits the batch to first order.
            params: Groups of the trained parameters, with their own `lr` and `weight_decay`, as
                torch optimizers take them; None for a single group.
            loss: Whose reduction and curvature are the closure's; None for the mean cross-entropy.
            weight_decay: Times the weights is added to the direction.
            pseudo_inverse: None for truncation at 1 %.
            strict: Refuse batches that cannot be fitted.
            diagnose: Measure residual, predicted and realised change in every step.

        Raises:
            TypeError: The model is not a reversible network.
            ValueError: A figure is out of range, the parameters are not just the chain's, or one of
                them is frozen.
        """
        if not isinstance(model, ReversibleNetwork):
            raise TypeError(f"the model is a {type(model).__name__}, not a reversible network")
        if not (isfinite(lr) and lr >= 0 and isfinite(weight_decay) and weight_decay >= 0):
            raise ValueError(f"lr {lr} and weight_decay {weight_decay} must be finite, 0 or more")
        self.model = model
        self.loss = loss or CrossEntropy()
        self.pseudo_inverse = pseudo_inverse or PseudoInverse()
        self.strict = strict
        self.diagnose = diagnose
        self.diagnostics = None
        groups = list(model.trained_parameters().values()) if params is None else params
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})
        self._require_all()
        self._require_trained()

    def __getstate__(self) -> dict[str, Any]:
        """What copies and files are made of: torch's optimizers keep no attributes of their own.

        A copy moves its own copy of the network: `copy.deepcopy((model, optimizer))` gives both.
        """
        return super().__getstate__() | {
            "model": self.model,
            "loss": self.loss,
            "pseudo_inverse": self.pseudo_inverse,
            "strict": self.strict,
            "diagnose": self.diagnose,
            "diagnostics": self.diagnostics,
        }

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of the network's trained parameters.

        Raises:
            ValueError: A parameter lies outside the chain of coupling blocks.
        """
        super().add_param_group(param_group)
        chain = {id(parameter) for parameter in self.model.trained_parameters().values()}
        outside = [p for p in self.param_groups[-1]["params"] if id(p) not in chain]
        if outside:
            self.param_groups.pop()
            shapes = ", ".join(str(tuple(parameter.shape)) for parameter in outside)
            raise ValueError(
                f"parameters outside the reversible chain, of shapes {shapes}: Gauss-Newton knows "
                "the coupling blocks' weights and biases alone"
            )

    def step(self, closure: Closure | None = None) -> Tensor | float:  # type: ignore[override]
        """Take one step.

        Args:
            closure: Evaluates the network on a batch, calls `backward` on the loss if it likes,
                and returns the loss. Evaluated again after the step under `diagnose`.

        Returns:
            The loss before the step.

        Raises:
            TypeError: There is no closure.
            ValueError: A parameter was frozen; nothing has changed.
            RuntimeError: The closure did not evaluate the network with gradient.
            FloatingPointError: The loss, inputs or gradient are not finite; nothing has changed.
            RankError: Under `strict`, the batch cannot be fitted; nothing has changed.
        """
        if closure is None:
            raise TypeError("Gauss-Newton needs a closure, as LBFGS does: optimizer.step(closure)")
        self._require_trained()
        loss, evaluations = self._evaluate(closure)
        batch = self._batch(loss, evaluations)
        direction, found = self._direction(batch)
        predicted = self._predicted_change(batch, direction) if self.diagnose else None
        self._update(direction)
        realised = None
        if self.diagnose:
            realised = self._figure(self._evaluate(closure)[0]) - self._figure(loss)
        self.diagnostics = StepDiagnostics(found, predicted, realised)
        return loss.detach() if isinstance(loss, Tensor) else loss

    @abstractmethod
    def _direction(
        self, batch: Batch
    ) -> tuple[dict[str, Tensor], Diagnostics | MinNormDiagnostics]:
        """Direction of a batch, by name of parameter, and how it came about."""

    def _require_all(self) -> None:
        held = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        trained = self.model.trained_parameters().items()
        missing = [name for name, parameter in trained if id(parameter) not in held]
        if missing:
            raise ValueError(
                f"no group has {', '.join(missing)}: a step that fits the batch needs them all"
            )
        known = {id(parameter) for _, parameter in trained}
        outside = [name for name, value in self.model.named_parameters() if id(value) not in known]
        if outside:
            raise ValueError(
                f"the network has parameters outside the reversible chain: {', '.join(outside)}"
            )

    def _require_trained(self) -> None:
        trained = self.model.trained_parameters().items()
        frozen = [name for name, parameter in trained if not parameter.requires_grad]
        if frozen:
            raise ValueError(
                f"{', '.join(frozen)} cannot be frozen: a step that fits the batch moves all "
                "weights together; call requires_grad_() on them, or train with another optimizer"
            )

    def _evaluate(self, closure: Closure) -> tuple[Tensor | float, list[Evaluation]]:
        """The loss, and what the closure evaluated."""
        with torch.enable_grad(), self.model.recording() as evaluations:
            return closure(), evaluations

    @staticmethod
    def _figure(loss: Tensor | float) -> float:
        return float(loss.detach() if isinstance(loss, Tensor) else loss)

    def _batch(self, loss: Tensor | float, evaluations: list[Evaluation]) -> Batch:
        if not isfinite(self._figure(loss)):
            raise FloatingPointError(f"the loss is {self._figure(loss)}; no step was taken")
        has_gradient = any(evaluation.outputs.grad is not None for evaluation in evaluations)
        if not has_gradient and isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        used = [evaluation for evaluation in evaluations if evaluation.outputs.grad is not None]
        if not used:
            raise RuntimeError(
                "the closure's loss has no gradient with respect to outputs of the network: call "
                "the optimizer's own model in it, and return the loss"
            )
        num_samples = sum(len(evaluation.outputs) for evaluation in used)
        gradients, errors = [], []
        for evaluation in used:
            gradient = evaluation.outputs.grad
            assert gradient is not None
            gradients.append(gradient)
            summed = gradient * num_samples if self.loss.reduction == "mean" else gradient
            errors.append(self.loss.newton_error(evaluation.outputs.detach(), summed))
        return Batch(
            torch.cat([evaluation.inputs for evaluation in used]),
            torch.cat([evaluation.features for evaluation in used]),
            torch.cat(gradients),
            torch.cat(errors),
        )

    def _changes(self, direction: dict[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor, float]]:
        """Name, parameter, direction with weight decay, and step size of each parameter."""
        names = {id(value): name for name, value in self.model.trained_parameters().items()}
        for group in self.param_groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                change = direction[name]
                if group["weight_decay"]:
                    change = change.add(parameter, alpha=group["weight_decay"])
                yield name, parameter, change, float(group["lr"])

    @torch.no_grad()
    def _predicted_change(self, batch: Batch, direction: dict[str, Tensor]) -> float:
        changes = {name: -lr * change for name, _, change, lr in self._changes(direction)}
        return float((batch.gradient * output_derivative(self.model, batch.inputs, changes)).sum())

    @torch.no_grad()
    def _update(self, direction: dict[str, Tensor]) -> None:
        for _, parameter, change, lr in self._changes(direction):
            parameter.sub_(change, alpha=lr)
