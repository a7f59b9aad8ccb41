"""Gauss-Newton as torch optimizers: by the paper's right inverse, and of minimum norm."""

from typing import Any, Literal

from torch import Tensor

from gn_study.direction import Diagnostics, LayerWeights, gn_direction
from gn_study.factors import KeptFactor
from gn_study.gauss_newton import Batch, GaussNewton, Parameters
from gn_study.gauss_seidel import gauss_seidel_direction
from gn_study.losses import OutputLoss
from gn_study.minimum_norm import MinNormDiagnostics, check_kernel_inverse, min_norm_direction
from gn_study.pseudo_inverse import PseudoInverse
from gn_study.reversible_network import ReversibleNetwork


class ExactGN(GaussNewton):
    """Exact Gauss-Newton of the paper: the right inverse of Prop. 4.4, or a variant of it."""

    def __init__(
        self,
        model: ReversibleNetwork,
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
                not just the chain's or frozen.
        """
        if scheme == "gauss_seidel" and (not cross_term or layer_weights == "minimum_norm"):
            raise ValueError("gauss_seidel has a cross term always and no minimum_norm weights")
        self.layer_weights = layer_weights
        self.cross_term = cross_term
        self.scheme = scheme
        self._kept = KeptFactor()
        super().__init__(model, lr, params, loss, weight_decay, pseudo_inverse, strict, diagnose)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and files are made of; they begin without a kept decomposition."""
        return super().__getstate__() | {
            "layer_weights": self.layer_weights,
            "cross_term": self.cross_term,
            "scheme": self.scheme,
            "_kept": KeptFactor(),
        }

    def _direction(self, batch: Batch) -> tuple[dict[str, Tensor], Diagnostics]:
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
        model: ReversibleNetwork,
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
                parameters are not just the chain's or frozen.
        """
        super().__init__(model, lr, params, loss, weight_decay, pseudo_inverse, strict, diagnose)
        check_kernel_inverse(self.pseudo_inverse)

    def _direction(self, batch: Batch) -> tuple[dict[str, Tensor], MinNormDiagnostics]:
        return min_norm_direction(
            self.model,
            batch.inputs,
            batch.error,
            pseudo_inverse=self.pseudo_inverse,
            strict=self.strict,
            measure_residual=self.diagnose,
        )
