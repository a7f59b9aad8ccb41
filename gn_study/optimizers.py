"""Gauss-Newton as torch optimizers."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import torch
from torch import Tensor

from gn_study.derivative import output_derivative
from gn_study.direction import Diagnostics, LayerWeights, gn_direction
from gn_study.factors import KeptFactor
from gn_study.gauss_seidel import gauss_seidel_direction
from gn_study.losses import CrossEntropy, OutputLoss
from gn_study.minimum_norm import MinNormDiagnostics, check_kernel_inverse, min_norm_direction
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.revmlp import Evaluation, RevMLP

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
class _Batch:
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
    closure; use `weight_decay`.

    Attributes:
        diagnostics: Of the last step; None before the first.
    """

    diagnostics: StepDiagnostics | None

    def __init__(
        self,
        model: RevMLP,
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
            ValueError: A figure is out of range, or the parameters are not just the chain's.
        """
        if not isinstance(model, RevMLP):
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

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of the network's trained parameters.

        Raises:
            ValueError: A parameter lies outside the chain of coupling blocks.
        """
        super().add_param_group(param_group)
        chain = {id(parameter) for parameter in self.model.trained_parameters().values()}
        outside = [p for p in self.param_groups[-1]["params"] if id(p) not in chain]
        if outside:
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
            RuntimeError: The closure did not evaluate the network with gradient.
            FloatingPointError: The loss, inputs or gradient are not finite; nothing has changed.
            RankError: Under `strict`, the batch cannot be fitted; nothing has changed.
        """
        if closure is None:
            raise TypeError("Gauss-Newton needs a closure, as LBFGS does: optimizer.step(closure)")
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
        self, batch: _Batch
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

    def _evaluate(self, closure: Closure) -> tuple[Tensor | float, list[Evaluation]]:
        """The loss, and what the closure evaluated."""
        with torch.enable_grad(), self.model.recording() as evaluations:
            return closure(), evaluations

    @staticmethod
    def _figure(loss: Tensor | float) -> float:
        return float(loss.detach() if isinstance(loss, Tensor) else loss)

    def _batch(self, loss: Tensor | float, evaluations: list[Evaluation]) -> _Batch:
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
        gradients, errors = [], []
        for evaluation in used:
            gradient = evaluation.outputs.grad
            assert gradient is not None
            gradients.append(gradient)
            summed = gradient * len(gradient) if self.loss.reduction == "mean" else gradient
            errors.append(self.loss.newton_error(evaluation.outputs.detach(), summed))
        return _Batch(
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
    def _predicted_change(self, batch: _Batch, direction: dict[str, Tensor]) -> float:
        changes = {name: -lr * change for name, _, change, lr in self._changes(direction)}
        return float((batch.gradient * output_derivative(self.model, batch.inputs, changes)).sum())

    @torch.no_grad()
    def _update(self, direction: dict[str, Tensor]) -> None:
        for _, parameter, change, lr in self._changes(direction):
            parameter.sub_(change, alpha=lr)


class ExactGN(GaussNewton):
    """Exact Gauss-Newton of the paper: the right inverse of Prop. 4.4, or a variant of it."""

    def __init__(
        self,
        model: RevMLP,
        lr: float = 0.1,
        *,
        params: Parameters | None = None,
        loss: OutputLoss | None = None,
        weight_decay: float = 0.0,
        pseudo_inverse: PseudoInverse | None = None,
        layer_weights: LayerWeights = "mean",
        cross_term: bool = True,
        scheme: Literal["simultaneous", "gauss_seidel"] = "simultaneous",
        strict: bool = False,
        diagnose: bool = False,
    ) -> None:
        """Take the network's trained parameters.

        Args:
            model: The network.
            lr: Step size of the paper; with `layer_weights="mean"` the released code's times the
                number of blocks.
            params: Groups of the trained parameters; None for a single group.
            loss: Whose reduction and curvature are the closure's; None for the mean cross-entropy
                with the identity as Hessian.
            weight_decay: Times the weights is added to the direction.
            pseudo_inverse: How features are inverted; None for truncation at 1 %.
            layer_weights: How much each block contributes.
            cross_term: Whether second half-layers take the first ones' change into account.
            scheme: All half-layers from the same state of the network, or block by block
                (`gauss_seidel_direction`).
            strict: Refuse batches that features of too low a rank cannot fit.
            diagnose: Measure residual, predicted and realised change in every step.

        Raises:
            TypeError: The model is not a reversible network.
            ValueError: A figure is out of range, options exclude each other, or the parameters are
                not just the chain's.
        """
        if scheme == "gauss_seidel" and (not cross_term or layer_weights == "minimum_norm"):
            raise ValueError("gauss_seidel has a cross term always and no minimum_norm weights")
        self.layer_weights = layer_weights
        self.cross_term = cross_term
        self.scheme = scheme
        self._kept = KeptFactor()
        super().__init__(model, lr, params, loss, weight_decay, pseudo_inverse, strict, diagnose)

    def _direction(self, batch: _Batch) -> tuple[dict[str, Tensor], Diagnostics]:
        if self.scheme == "simultaneous":
            return gn_direction(
                self.model,
                batch.inputs,
                batch.error,
                pseudo_inverse=self.pseudo_inverse,
                layer_weights=self.layer_weights,
                cross_term=self.cross_term,
                strict=self.strict,
                measure_residual=self.diagnose,
                features=batch.features,
                kept=self._kept,
            )
        rates = {float(group["lr"]) for group in self.param_groups}
        if len(rates) > 1:
            raise ValueError(f"gauss_seidel needs one lr for all groups, not {sorted(rates)}")
        assert self.layer_weights != "minimum_norm"
        return gauss_seidel_direction(
            self.model,
            batch.inputs,
            batch.error,
            # A step of size nought has no direction of its own, but changes nothing anyway.
            rates.pop() or 1.0,
            pseudo_inverse=self.pseudo_inverse,
            layer_weights=self.layer_weights,
            strict=self.strict,
            measure_residual=self.diagnose,
            kept=self._kept,
        )


class MinNormGN(GaussNewton):
    """Gauss-Newton with the Moore-Penrose inverse of the whole Jacobian."""

    def __init__(
        self,
        model: RevMLP,
        lr: float = 0.1,
        *,
        params: Parameters | None = None,
        loss: OutputLoss | None = None,
        weight_decay: float = 0.0,
        pseudo_inverse: PseudoInverse | None = None,
        strict: bool = False,
        diagnose: bool = False,
    ) -> None:
        """Take the network's trained parameters.

        Args:
            model: The network.
            lr: Step size.
            params: Groups of the trained parameters; None for a single group.
            loss: Whose reduction and curvature are the closure's; None for the mean cross-entropy
                with the identity as Hessian.
            weight_decay: Times the weights is added to the direction.
            pseudo_inverse: How the Jacobian's singular values are inverted; None for truncation at
                1 %.
            strict: Refuse batches for which singular values are dropped.
            diagnose: Measure residual, predicted and realised change in every step.

        Raises:
            TypeError: The model is not a reversible network.
            ValueError: A figure is out of range, a kernel has no such pseudo-inverse, or the
                parameters are not just the chain's.
        """
        super().__init__(model, lr, params, loss, weight_decay, pseudo_inverse, strict, diagnose)
        check_kernel_inverse(self.pseudo_inverse)

    def _direction(self, batch: _Batch) -> tuple[dict[str, Tensor], MinNormDiagnostics]:
        return min_norm_direction(
            self.model,
            batch.inputs,
            batch.error,
            pseudo_inverse=self.pseudo_inverse,
            strict=self.strict,
            measure_residual=self.diagnose,
        )
