"""Layer-wise least squares: each layer is to give the outputs it gave (OBC, SparseGPT)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.curvature import CurvatureBase
from compression.errors import NotFittedError, StructureError, UnsupportedLayerError
from compression.factored import Factored, inverses
from compression.parameters import Kind, Slot
from compression.problem import Loader, Reporter, batches

LARGEST_INVERSES = 2**26
"""Numbers of the inverses of one layer, where its outputs keep different inputs: half a GiB while
they are found, in double precision."""


class LayerwiseHessian(CurvatureBase):
    """Hessian of the squared change of each layer's outputs, `2 E[x x']`, plus the damping.

    It looks neither at the loss nor at other layers (Frantar and Alistarh, 2022). All outputs of a
    layer share one matrix over its inputs. A solver that does not eliminate what is removed needs
    one for each output in later stages, `(outputs, inputs, inputs)` numbers in all, which may be
    too many. Biases and other parameters that stand beside have the damping alone.

    Args:
        num_batches: Batches of inputs that are averaged; None for one pass of the loader.
    """

    has_forward = True

    def __init__(self, num_batches: int | None = None) -> None:
        super().__init__()
        self.num_batches = num_batches
        self._hessians: dict[str, Tensor] = {}
        self._inverses: dict[str, Tensor] = {}

    def fit(self, loader: Loader, reporter: Reporter | None = None) -> None:
        """Average the outer products of each layer's inputs.

        Raises:
            ExhaustedLoaderError: The loader gives too few batches.
            UnsupportedLayerError: A weight is of no linear layer or ungrouped 2-d convolution, or
                its layer is never called.
        """
        problem = self.problem
        sums = {
            slot.name: torch.zeros((), dtype=problem.space.dtype, device=problem.space.device)
            for slot in self.matrices()
        }
        num_examples = 0
        with _watch(problem.model, self.matrices(), sums), torch.no_grad():
            for done, batch in enumerate(batches(loader, self.num_batches), start=1):
                inputs, targets = problem.to_device(batch)
                problem.outputs({}, inputs)
                num_examples += len(targets)
                if reporter is not None:
                    reporter("layer inputs", done, self.num_batches or done, float(num_examples))
        unseen = [name for name, total in sums.items() if total.ndim == 0]
        if unseen:
            raise UnsupportedLayerError(
                f"the model computes without a call of the layers of {', '.join(unseen)}: their "
                f"inputs are not known; leave them dense with exclude={tuple(unseen)!r}, or use "
                "another curvature"
            )
        self._hessians = {name: 2 * total / num_examples for name, total in sums.items()}
        self._inverses = {}

    def set_mask(self, mask: Tensor) -> None:
        """Restrict everything to the kept weights, bool `(size,)`."""
        super().set_mask(mask)
        self._inverses = {}

    def matrices(self) -> list[Slot]:
        """Slots of the weights that multiply a layer's inputs."""
        return [slot for slot in self.problem.space.slots if slot.is_prunable]

    def hessian(self, slot: Slot) -> Tensor:
        """Hessian of one output of a layer, damped, `(inputs, inputs)`.

        Raises:
            NotFittedError: Nothing was estimated yet.
        """
        if slot.name not in self._hessians:
            raise NotFittedError("LayerwiseHessian has seen no inputs yet; call fit() first")
        hessian = self._hessians[slot.name]
        identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
        return hessian + self.problem.damping * identity

    def inverse(self, slot: Slot) -> Tensor:
        """Inverse of each output's Hessian over the inputs it keeps, 0 elsewhere.

        Returns:
            Shape `(outputs, inputs, inputs)`, or `(1, inputs, inputs)` where all keep everything.

        Raises:
            StructureError: They are too many numbers.
            DivergedError: The Hessian is not positive definite.
        """
        if slot.name not in self._inverses:
            self._inverses[slot.name] = self._exact_inverse(slot).to(self.problem.space.dtype)
        return self._inverses[slot.name]

    def _exact_inverse(self, slot: Slot) -> Tensor:
        """As `inverse`, in double precision.

        With fewer examples than inputs the least curvature is the damping, and what lies between
        it and the largest is more than single precision can invert.
        """
        hessian, kept = self.hessian(slot), _matrix(slot, self.mask)
        if bool(kept.all()):
            return inverses(hessian.unsqueeze(0))
        if not self._has_own_inverses(slot):
            raise StructureError(
                f"the outputs of {slot.name} keep different ones of {len(hessian):,} inputs: "
                "an inverse for each is too large; prune it with GreedyByRow or SweepByColumn"
            )
        both = kept.unsqueeze(2) & kept.unsqueeze(1)
        identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
        return torch.where(both, inverses(torch.where(both, hessian, identity)), 0)

    def _has_own_inverses(self, slot: Slot) -> bool:
        """Whether an inverse for each output is few enough numbers."""
        return slot.shape[0] * len(self._hessians[slot.name]) ** 2 <= LARGEST_INVERSES

    def forward_product(self, vector: Tensor) -> Tensor:
        """`(F + damping I) vector` on the kept weights."""
        product = self.problem.damping * vector
        kept = torch.where(self.mask, vector, 0)
        for slot in self.matrices():
            product[slot.positions] = (_matrix(slot, kept) @ self.hessian(slot)).reshape(-1)
        return torch.where(self.mask, product, 0)

    def factored(self) -> Iterator[Factored]:
        """The weights by layer: all outputs as one grid, or one each where they keep other inputs.

        Layers too large for that are one grid, whatever the mask. What stands beside has the
        damping alone and is left out.
        """
        for slot in self.matrices():
            if self._has_own_inverses(slot):
                inverse = self._exact_inverse(slot)
            else:
                inverse = inverses(self.hessian(slot).unsqueeze(0))
            rows = slot.shape[0] // len(inverse)
            positions = torch.arange(slot.start, slot.stop, device=inverse.device)
            grid = positions.view(len(inverse), rows, -1)
            ones = torch.ones_like(grid, dtype=self.problem.space.dtype)
            # In double precision: rounded to single, it need not be positive definite any more.
            yield Factored(grid, ones, None, inverse)

    def state_dict(self) -> dict[str, Tensor]:
        """The undamped Hessian of each weight, by the weight's name."""
        return dict(self._hessians)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take on Hessians."""
        self._hessians, self._inverses = dict(state), {}

    def _diagonal(self) -> Tensor:
        space = self.problem.space
        diagonal = torch.full(
            (space.size,), 1 / self.problem.damping, dtype=space.dtype, device=space.device
        )
        for slot in self.matrices():
            of_rows = self.inverse(slot).diagonal(dim1=1, dim2=2)
            diagonal[slot.positions] = of_rows.expand(slot.shape[0], -1).reshape(-1)
        return diagonal

    def _product(self, vectors: Tensor) -> Tensor:
        product = vectors / self.problem.damping
        for slot in self.matrices():
            rows = _matrix(slot, vectors).unsqueeze(-2)
            product[..., slot.positions] = (rows @ self.inverse(slot)).flatten(-3)
        return product


def _matrix(slot: Slot, vectors: Tensor) -> Tensor:
    """A weight's part of vectors `(..., size)`, as `(..., outputs, inputs)`."""
    return vectors[..., slot.positions].reshape(*vectors.shape[:-1], slot.shape[0], -1)


@contextmanager
def _watch(model: nn.Module, slots: list[Slot], sums: dict[str, Tensor]) -> Iterator[None]:
    """While the block runs, add up the outer products of the inputs of the slots' layers."""
    handles = []
    try:
        for slot in slots:
            module = model.get_submodule(slot.layer)

            def add(module: nn.Module, inputs: tuple[Tensor, ...], slot: Slot = slot) -> None:
                columns = _columns(module, slot, inputs[0]).to(sums[slot.name])
                sums[slot.name] = sums[slot.name] + columns.T @ columns

            handles.append(module.register_forward_pre_hook(add))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _columns(module: nn.Module, slot: Slot, inputs: Tensor) -> Tensor:
    """What the weight's rows are multiplied with, one row for each product: `(number, inputs)`."""
    if slot.kind is Kind.MATRIX and isinstance(module, nn.Linear):
        return inputs.reshape(-1, slot.shape[1])
    is_plain = isinstance(module, nn.Conv2d) and module.groups == 1
    if not is_plain or not isinstance(module, nn.Conv2d) or isinstance(module.padding, str):
        raise UnsupportedLayerError(
            f"{slot.name} belongs to a {type(module).__name__} whose inputs cannot be laid out as "
            "a matrix; leave it dense with exclude, or use another curvature"
        )
    if module.padding_mode == "zeros":
        padding = module.padding
    else:
        sides = module._reversed_padding_repeated_twice
        inputs, padding = functional.pad(inputs, sides, mode=module.padding_mode), (0, 0)
    patches = functional.unfold(inputs, module.kernel_size, module.dilation, padding, module.stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])
