"""The Surgeon: prune a network by its curvature (arXiv 2412.02328)."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from compression.channels import ChannelGroup, find_channels, without_channels
from compression.curvature import Curvature
from compression.errors import DivergedError, NotFittedError, SparsityError
from compression.estimators import create_curvature
from compression.fisher import mean_gradient
from compression.likelihoods import Likelihood
from compression.normalisation import reestimate
from compression.parameters import collect_parameters, require_evaluation_mode
from compression.problem import Inputs, Loader, Problem, Reporter, batches
from compression.saliency import saliency
from compression.selection import PruningStep, RankAndCompensate, Solver
from compression.structures import Scope, Structure, make_candidates

MASK, MODEL, CURVATURE = "mask.", "model.", "curvature."
"""How names in a saved state begin."""

FITTED = "is_fitted"
"""Name in a saved state: whether a fit was ended."""


class Surgeon:
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
        self.model = model
        self.loader = loader
        self.problem = Problem(model, likelihood, space, damping, seed)
        self.structure: Structure = structure
        self.scope: Scope = scope
        self.solver: Solver = solver or RankAndCompensate()
        self.reporter = reporter
        self.curvature = create_curvature(curvature)
        self.curvature.attach(self.problem)
        self.mask = torch.ones(space.size, dtype=torch.bool, device=space.device)
        self._channels: list[ChannelGroup] = []
        if structure == "channel":
            self._channels, self._candidates = find_channels(model, self._example(), space)
        else:
            self._candidates = make_candidates(space, structure)
        self._has_begun = self._is_fitted = False
        self._handles: list[RemovableHandle] = []

    @property
    def sparsity(self) -> float:
        """Share of the weights within the structure's reach that are removed."""
        reachable = self._candidates.reachable
        return float((reachable & ~self.mask).sum() / reachable.sum())

    @property
    def masks(self) -> dict[str, Tensor]:
        """What is kept of each prunable parameter, bool in its shape, by name."""
        views = self.problem.space.unflatten(self.mask)
        return {
            slot.name: views[slot.name].clone()
            for slot in self.problem.space.slots
            if slot.is_prunable
        }

    def fit(self) -> None:
        """Estimate the curvature at the present weights, from nothing.

        Raises:
            TrainingModeError: The model is in training mode.
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: A loss is not finite.
        """
        require_evaluation_mode(self.model)
        self.apply_masks()
        self.curvature.set_mask(self.mask)
        self._has_begun = True
        self.curvature.fit(self.loader, self.reporter)
        self._is_fitted = True

    def refine(self) -> None:
        """Bring the estimate up to date after weights have changed, from where it is.

        Raises:
            NotFittedError: Nothing was estimated yet.
            TrainingModeError: The model is in training mode.
            ExhaustedLoaderError: The loader runs dry.
            DivergedError: A loss is not finite.
        """
        self._require_fitted()
        require_evaluation_mode(self.model)
        self.apply_masks()
        self.curvature.set_mask(self.mask)
        self.curvature.refine(self.loader, self.reporter)

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
        self._check(sparsity)
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
            mean_gradient(self.problem, self.loader) if self.solver.needs_gradient else None,
        )
        mask, weights = self.solver(step)
        if not bool(weights.isfinite().all()):
            raise DivergedError(
                "compensation gave weights that are not finite: raise the damping or fit longer"
            )
        self.mask = self.mask & mask
        space.write(self.model, weights)
        self.apply_masks()
        self.curvature.set_mask(self.mask)
        return self.masks

    def prune(
        self, sparsities: Sequence[float], fine_tune: Callable[[nn.Module], None] | None = None
    ) -> dict[str, Tensor]:
        """Prune in stages, refining the curvature between them.

        Args:
            sparsities: After each stage; see `compression.schedules`.
            fine_tune: Called after each stage with the model in training mode; the removed weights
                are set to 0 again when it returns. `attach` keeps them at 0 all the while.

        Returns:
            The masks.

        Raises:
            NotFittedError: Nothing was estimated yet.
            SparsityError: A stage has less sparsity than the one before.
        """
        for number, sparsity in enumerate(sparsities):
            if number > 0:
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

    @torch.no_grad()
    def apply_masks(self) -> None:
        """Set removed weights of the model to exactly 0."""
        space = self.problem.space
        views = space.unflatten(self.mask)
        for name, weight in space.of(self.model).items():
            weight.masked_fill_(~views[name], 0)

    def attach(self, optimizer: torch.optim.Optimizer) -> RemovableHandle:
        """Keep removed weights at 0 through an optimizer's steps, whatever it does.

        Returns:
            A handle; its `remove()` ends it, and so does `finalize`.
        """

        def after_step(optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
            self.apply_masks()

        handle = optimizer.register_step_post_hook(after_step)
        self._handles.append(handle)
        return handle

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
        for slot in space.slots:
            if slot.is_prunable:
                values = state[f"{MASK}{slot.name}"].to(space.device)
                self.mask[slot.positions] = values.flatten()
        curvature = {
            name.removeprefix(CURVATURE): value
            for name, value in state.items()
            if name.startswith(CURVATURE)
        }
        if curvature:
            self.curvature.load_state_dict(curvature)
        self._has_begun = bool(curvature)
        self._is_fitted = bool(state[FITTED])
        self.curvature.set_mask(self.mask)
        self.apply_masks()

    def save(self, path: Path) -> None:
        """Write weights, masks and curvature to a safetensors file, all at once."""
        weights = {f"{MODEL}{name}": value for name, value in self.model.state_dict().items()}
        tensors = {
            name: value.detach().clone().contiguous()
            for name, value in (weights | self.state_dict()).items()
        }
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            save_file(tensors, partial)
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def load(self, path: Path) -> None:
        """Read what `save` wrote for a model of the same architecture."""
        tensors = load_file(path, device=str(self.problem.space.device))
        self.model.load_state_dict(
            {
                name.removeprefix(MODEL): value
                for name, value in tensors.items()
                if name.startswith(MODEL)
            }
        )
        self.load_state_dict(tensors)

    def finalize(self) -> nn.Module:
        """The pruned model: a plain module, exact zeros, no hooks, nothing added.

        Returns:
            The model itself; for structure `"channel"` a smaller copy, without what was removed.

        Raises:
            StructureError: The smaller copy would compute something else.
        """
        self.apply_masks()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if not self._channels:
            return self.model
        is_removed = ~self._candidates.alive(self.mask)
        return without_channels(self.model, self._example(), self._channels, is_removed)

    def _example(self) -> Inputs:
        """Inputs of a first batch."""
        return self.problem.to_device(next(batches(self.loader, 1)))[0]

    def _require_fitted(self) -> None:
        if not self._is_fitted:
            raise NotFittedError("the curvature was not estimated yet; call fit() first")

    def _check(self, sparsity: float) -> None:
        if not 0 <= sparsity < 1:
            raise SparsityError(f"sparsity must be at least 0 and below 1, not {sparsity}")
        reachable = self._candidates.reachable
        number = int(reachable.sum())
        removed = int((reachable & ~self.mask).sum())
        if round(sparsity * number) < removed:
            raise SparsityError(
                f"sparsity {sparsity:g} is below the present {removed / number:g}: removed weights "
                "do not come back"
            )
        limit = self._candidates.limit
        if limit is not None and sparsity > limit.most / limit.groups.shape[1] + 0.5 / number:
            raise SparsityError(
                f"{limit.most} of {limit.groups.shape[1]} weights may go, so sparsity {sparsity:g} "
                "is out of reach"
            )
