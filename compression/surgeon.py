"""The Surgeon: prune a network by its curvature (arXiv 2412.02328)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from compression.channels import ChannelGroup, find_channels, without_channels
from compression.curvature import Curvature
from compression.errors import DivergedError, NotFittedError
from compression.estimators import create_curvature
from compression.files import model_state, model_tensors, read_tensors, write_tensors
from compression.likelihoods import Likelihood
from compression.masking import MaskedModel
from compression.normalisation import reestimate
from compression.objective import MeanLoss
from compression.parameters import collect_parameters, require_evaluation_mode
from compression.problem import Inputs, Loader, Problem, Reporter, batches, to_device
from compression.quantisation import QuantisedWeight, check_format, quantised
from compression.saliency import saliency
from compression.selection import PruningStep, RankAndCompensate, Solver, require_reachable
from compression.structures import Scope, Structure, make_candidates

MASK, CURVATURE = "mask.", "curvature."
"""How names in a saved state begin."""

FITTED = "is_fitted"
"""Name in a saved state: whether a fit was ended."""


class Surgeon(MaskedModel):
    """Prunes a model in place: fit curvature, remove weights, let the others make up for them.

    The model's own weights are always what they should be: exactly 0 where removed. Nothing is
    hooked into its modules.

    Args:
        model: Any module, in evaluation mode.
        likelihood: Whose negative log-likelihood the model was trained on.
        loader: Batches `(inputs, targets)` of the training data, which can be gone through again
            and again.
        curvature: A name in `compression.estimators.CURVATURES`, or an estimate.
        structure: Patterns in which weights go; see `compression.structures.Structure`.
        scope: Whether sparsity is that of all layers together, or of each.
        damping: Added to the diagonal of the Fisher matrix. Below the typical curvature of a
            weight it does little; far above, ranking becomes that by magnitude.
        include: Patterns (`fnmatch`) of parameter names, one of which must match.
        exclude: Patterns none of which may match; such parameters are left as they are.
        solver: Chooses what goes and compensates; by rank and exact group update if None.
        seed: Of all random draws.
        reporter: Told of progress.

    Attributes:
        model: As given.
        problem: What curvature is estimated of.
        curvature: The estimate.
        mask: What is kept, bool `(size,)` over `problem.space`.

    Raises:
        UnsupportedLayerError: A weight belongs to a module of an unknown kind.
        TiedWeightsError: A weight stands under several names.
        LazyModuleError: A module is not built yet.
        NothingPrunableError: No weight is prunable.
        TrainingModeError: The model is in training mode.
        StructureError: The structure suits no layer.
        ImportError: The structure is `"channel"` and Torch-Pruning is not installed.
    """

    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        loader: Loader,
        curvature: str | Curvature = "kronecker",
        structure: Structure = "unstructured",
        scope: Scope = "global",
        damping: float = 1e-3,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        solver: Solver | None = None,
        seed: int = 0,
        reporter: Reporter | None = None,
    ) -> None:
        require_evaluation_mode(model)
        space = collect_parameters(model, include, exclude)
        channels: list[ChannelGroup] = []
        if structure == "channel":
            inputs = to_device(next(batches(loader, 1)), space.device)[0]
            channels, candidates = find_channels(model, inputs, space)
        else:
            candidates = make_candidates(space, structure)
        super().__init__(model, space, candidates)
        self.loader = loader
        self.problem = Problem(model, likelihood, space, damping, seed)
        self.structure: Structure = structure
        self.scope: Scope = scope
        self.solver: Solver = solver or RankAndCompensate()
        self.reporter = reporter
        self.curvature = create_curvature(curvature)
        self.curvature.attach(self.problem, loader)
        self._channels = channels
        self._has_begun = self._is_fitted = False

    def fit(self) -> None:
        """Estimate the curvature at the present weights, from nothing.

        Raises:
            TrainingModeError: The model is in training mode.
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: A loss is not finite.
        """
        require_evaluation_mode(self.model)
        self.apply_masks()
        self._tell_mask()
        self._has_begun, self._is_fitted = True, False
        self.curvature.fit(self.loader, self.reporter)
        self._is_fitted = True

    def refine(self) -> None:
        """Bring the estimate up to date after weights have changed, from where it is.

        If that fails, there is no estimate any more.

        Raises:
            NotFittedError: Nothing was estimated yet.
            TrainingModeError: The model is in training mode.
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: A loss is not finite.
        """
        self._require_fitted()
        require_evaluation_mode(self.model)
        self.apply_masks()
        self._tell_mask()
        try:
            self.curvature.refine(self.loader, self.reporter)
        except Exception:
            self._is_fitted = False
            raise

    def score(self) -> dict[str, Tensor]:
        """What removing each weight alone would cost, in nats, by parameter name.

        0 for weights that are removed already.

        Raises:
            NotFittedError: Nothing was estimated yet.
        """
        self._require_fitted()
        space = self.problem.space
        scores = saliency(space.read(self.model), self.curvature.inverse_diagonal())
        views = space.unflatten(torch.where(self.mask, scores, 0))
        return {slot.name: views[slot.name] for slot in space.slots if slot.is_prunable}

    def importance_scores(self) -> dict[tuple[nn.Module, str], Tensor]:
        """The scores as `torch.nn.utils.prune.global_unstructured` takes them."""
        return {
            (self.model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]): values
            for name, values in self.score().items()
        }

    def step(self, sparsity: float) -> dict[str, Tensor]:
        """Remove weights until a sparsity is reached, and let the others make up for them.

        Args:
            sparsity: Share of the weights within the structure's reach that is removed afterwards.

        Returns:
            The masks.

        Raises:
            NotFittedError: Nothing was estimated yet.
            TrainingModeError: The model is in training mode.
            SparsityError: Less than is removed already, or more than the structure allows.
            DivergedError: The compensated weights are not finite; the model is left as it was.
        """
        self._require_fitted()
        require_evaluation_mode(self.model)
        require_reachable(self._candidates, self.mask, sparsity, self.scope)
        self.apply_masks()
        space = self.problem.space
        step = PruningStep(
            self.problem,
            self.curvature,
            space.read(self.model),
            self.mask,
            self.structure,
            self._candidates,
            self.scope,
            sparsity,
            MeanLoss(self.problem, self.loader),
        )
        mask, weights = self.solver(step)
        self._require_finite(weights)
        if space.constant is not None:
            weights = torch.where(space.constant, step.weights, weights)
        self.mask = self.mask & mask
        space.write(self.model, weights)
        self.apply_masks()
        self._tell_mask()
        return self.masks

    def prune(
        self,
        sparsities: Sequence[float],
        fine_tune: Callable[[nn.Module], None] | None = None,
        normalisation_batches: int = 0,
    ) -> dict[str, Tensor]:
        """Prune in stages, refining the curvature between them.

        Args:
            sparsities: After each stage; see `compression.schedules`.
            fine_tune: Called after each stage with the model in training mode; the removed weights
                are set to 0 again when it returns. `attach` keeps them at 0 all the while.
            normalisation_batches: Batches that statistics of batch normalisation are measured on
                again before each refinement; 0 for networks without, or where `fine_tune`, whose
                steps follow them anyway, is given.

        Returns:
            The masks.

        Raises:
            NotFittedError: Nothing was estimated yet.
            SparsityError: A stage has less sparsity than the one before.
        """
        for number, sparsity in enumerate(sparsities):
            if number > 0:
                if normalisation_batches:
                    self.reestimate_normalisation(normalisation_batches)
                self.refine()
            self.step(sparsity)
            if fine_tune is not None:
                self.model.train()
                try:
                    fine_tune(self.model)
                finally:
                    self.model.eval()
                self.apply_masks()
        return self.masks

    def quantise(
        self, bits: int = 8, group_size: int | None = None, compensate: bool = True
    ) -> dict[str, QuantisedWeight]:
        """Round the weights to whole numbers times a scale, and let the others make up for it.

        The last step: the weights of the model, plain floating-point numbers still, lie exactly on
        the grid afterwards, removed ones at 0. After pruning, `refine` first; where the solver
        eliminates, so that the estimate is of all weights, it is refined here to that of the kept.

        Args:
            bits: Of each number, 2 to 8.
            group_size: Consecutive inputs that share a scale; None for all inputs of an output.
            compensate: Whether scales and compensation follow the curvature; False for each weight
                to the nearest.

        Returns:
            The rounded weights by name, which `compression.quantised_files.save_quantised` packs.

        Raises:
            ValueError: There is no such format.
            NotFittedError: Nothing was estimated yet.
            TrainingModeError: The model is in training mode.
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: The curvature is not positive definite, or weights are not finite; the
                model is left as it was.
        """
        check_format(bits, group_size)
        if compensate:
            self._require_fitted()
        require_evaluation_mode(self.model)
        with self._of_kept_weights() if compensate else nullcontext() as curvature:
            found, weights = quantised(self.problem, curvature, self.mask, bits, group_size)
        self._require_finite(weights)
        self.problem.space.write(self.model, weights)
        for name, weight in found.items():
            self.model.get_parameter(name).data.copy_(weight.values())
        return found

    def reestimate_normalisation(self, num_batches: int | None = None) -> None:
        """Measure the running statistics of batch normalisation again, on the loader.

        Args:
            num_batches: How many batches; None for one pass.
        """
        reestimate(self.model, self.loader, num_batches)

    def state_dict(self) -> dict[str, Tensor]:
        """Masks and curvature as tensors by name; the weights are the model's own.

        A reporter may ask for it in the middle of a fit, which `fit` then goes on with.
        """
        state = {f"{MASK}{name}": mask for name, mask in self.masks.items()}
        state[FITTED] = torch.tensor(self._is_fitted)
        if self._has_begun:
            found = self.curvature.state_dict().items()
            state |= {f"{CURVATURE}{name}": value for name, value in found}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on what `state_dict` gave for a model of the same architecture.

        Raises:
            KeyError: A mask is missing.
        """
        space = self.problem.space
        mask = torch.ones_like(self.mask)
        for slot in space.slots:
            if slot.is_prunable:
                values = state[f"{MASK}{slot.name}"].to(space.device)
                mask[slot.positions] = values.flatten()
        # With a channel its biases and normalisation go, of which a file has no masks.
        is_removed = ~self._candidates.alive(mask & space.prunable)
        self.mask = self._candidates.without(mask, is_removed)
        curvature = {
            name.removeprefix(CURVATURE): value
            for name, value in state.items()
            if name.startswith(CURVATURE)
        }
        if curvature:
            self.curvature.load_state_dict(curvature)
        self._has_begun = bool(curvature)
        self._is_fitted = bool(state[FITTED])
        self._tell_mask()
        self.apply_masks()

    def save(self, path: Path) -> None:
        """Write weights, masks and curvature to a safetensors file, all at once."""
        write_tensors(path, model_tensors(self.model) | self.state_dict())

    def load(self, path: Path) -> None:
        """Read what `save` wrote for a model of the same architecture.

        Raises:
            ValueError: It is no safetensors file, or it is cut off.
        """
        tensors = read_tensors(path, str(self.problem.space.device))
        self.model.load_state_dict(model_state(tensors))
        self.load_state_dict(tensors)

    def finalize(self) -> nn.Module:
        """The pruned model: a plain module, exact zeros, no hooks, nothing added.

        Returns:
            The model itself; for structure `"channel"` a smaller copy, without what was removed.

        Raises:
            StructureError: The smaller copy would compute something else.
            TrainingModeError: The model is in training mode, and outputs must be compared.
        """
        if self._channels:
            require_evaluation_mode(self.model)
        self.apply_masks()
        self._detach()
        if not self._channels:
            return self.model
        is_removed = ~self._candidates.alive(self.mask)
        return without_channels(self.model, self._example(), self._channels, is_removed)

    @contextmanager
    def _of_kept_weights(self) -> Iterator[Curvature]:
        """The estimate of the kept weights alone, whatever the solver wants."""
        self.curvature.set_mask(self.mask)
        try:
            if self.solver.eliminates and not bool(self.mask.all()):
                self.curvature.refine(self.loader, self.reporter)
            yield self.curvature
        finally:
            if self.solver.eliminates:
                self.curvature.set_mask(torch.ones_like(self.mask))

    def _tell_mask(self) -> None:
        if not self.solver.eliminates:
            self.curvature.set_mask(self.mask)

    def _example(self) -> Inputs:
        """Inputs of a first batch."""
        return self.problem.to_device(next(batches(self.loader, 1)))[0]

    def _require_fitted(self) -> None:
        if not self._is_fitted:
            raise NotFittedError("the curvature was not estimated yet; call fit() first")

    def _require_finite(self, weights: Tensor) -> None:
        if not bool(weights.isfinite().all()):
            raise DivergedError(
                "compensation gave weights that are not finite: raise the damping or fit longer"
            )
