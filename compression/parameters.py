"""The weights of a model as one flat vector, and which of them can be pruned."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from compression.errors import (
    LazyModuleError,
    NothingPrunableError,
    TiedWeightsError,
    TrainingModeError,
    UnsupportedLayerError,
)


class Kind(Enum):
    """What the numbers of a parameter do in their layer.

    Attributes:
        MATRIX: A linear map, shape `(outputs, inputs)`; with several groups, as many maps stacked
            along the outputs.
        CONVOLUTION: Shape `(outputs, inputs / groups, *kernel)`.
        EMBEDDING: A row for each symbol, shape `(num_symbols, width)`.
        BIAS: Added to the outputs of the weight that stands before it in its layer.
        VECTOR: Each number acts on its own: scales and shifts of normalisation, other biases.
    """

    MATRIX = "matrix"
    CONVOLUTION = "convolution"
    EMBEDDING = "embedding"
    BIAS = "bias"
    VECTOR = "vector"


PRUNABLE_KINDS = frozenset({Kind.MATRIX, Kind.CONVOLUTION, Kind.EMBEDDING})


@dataclass(frozen=True)
class Slot:
    """Where one parameter lies in the flat vector.

    Attributes:
        name: Qualified name of the parameter, as in `model.named_parameters()`.
        layer: Qualified name of the module that owns it.
        shape: Of the parameter.
        start: First position in the vector.
        stop: One past the last position.
        kind: What it does in its layer.
        groups: Number of independent maps that are stacked along the outputs.
    """

    name: str
    layer: str
    shape: torch.Size
    start: int
    stop: int
    kind: Kind
    groups: int = 1

    @property
    def is_prunable(self) -> bool:
        """Whether its numbers may be removed one by one."""
        return self.kind in PRUNABLE_KINDS

    @property
    def positions(self) -> slice:
        """Its positions in the vector."""
        return slice(self.start, self.stop)


class ParameterSpace:
    """The covered parameters of a model, laid end to end in one flat vector.

    Slots of one layer are adjacent. Masks over the space are bool `(size,)`, True where a weight
    is kept.

    Attributes:
        slots: Where each parameter lies.
        size: Length of the vector.
        dtype: Of the vector: the widest of the parameters, float32 at least.
        device: Of the vector: that of the first parameter.
        prunable: Whether each number may be removed one by one, bool `(size,)`.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        dtype: torch.dtype,
        device: torch.device,
        constant: Tensor | None = None,
    ) -> None:
        """Make a space.

        Args:
            slots: End to end, from position 0.
            dtype: Of vectors.
            device: Of vectors.
            constant: Bool `(size,)`, True where the model ignores a number and gives it no
                gradient (padding rows of embeddings); None where there are none.
        """
        self.slots = tuple(slots)
        self.size = self.slots[-1].stop if self.slots else 0
        self.dtype = dtype
        self.device = device
        self.constant = constant
        self.prunable = torch.zeros(self.size, dtype=torch.bool, device=device)
        for slot in self.slots:
            self.prunable[slot.positions] = slot.is_prunable
        if constant is not None:
            self.prunable &= ~constant
        layers = defaultdict(list)
        for slot in self.slots:
            layers[slot.layer].append(slot)
        self.layers = {layer: tuple(of_layer) for layer, of_layer in layers.items()}

    @property
    def num_prunable(self) -> int:
        """How many numbers may be removed."""
        return int(self.prunable.sum())

    def slot(self, name: str) -> Slot:
        """The slot of the parameter of that name.

        Raises:
            KeyError: There is none.
        """
        for slot in self.slots:
            if slot.name == name:
                return slot
        raise KeyError(name)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """One vector `(size,)` of tensors by parameter name."""
        parts = [tensors[slot.name].reshape(-1) for slot in self.slots]
        return torch.cat([part.to(self.device, self.dtype) for part in parts])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector `(size,)` by parameter name, in the parameters' shapes."""
        return {slot.name: vector[slot.positions].view(slot.shape) for slot in self.slots}

    def values(self, vector: Tensor, model: nn.Module) -> dict[str, Tensor]:
        """Parts of a vector `(size,)` by parameter name, in shape, dtype and place of a model's."""
        parameters = self.of(model)
        return {name: part.to(parameters[name]) for name, part in self.unflatten(vector).items()}

    def read(self, model: nn.Module) -> Tensor:
        """The model's present weights, a copy, `(size,)`."""
        return self.flatten({name: weight.detach() for name, weight in self.of(model).items()})

    @torch.no_grad()
    def write(self, model: nn.Module, vector: Tensor) -> None:
        """Put a vector `(size,)` into the model's weights."""
        parameters = self.of(model)
        for name, values in self.unflatten(vector).items():
            parameters[name].copy_(values)

    def of(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The model's own covered parameters, by name."""
        return {slot.name: model.get_parameter(slot.name) for slot in self.slots}


def require_evaluation_mode(model: nn.Module) -> None:
    """Refuse a model whose outputs depend on chance or on the rest of the batch.

    Raises:
        TrainingModeError: A module is in training mode.
    """
    training = [name or "the model" for name, module in model.named_modules() if module.training]
    if training:
        raise TrainingModeError(
            f"{training[0]} is in training mode, so dropout and batch statistics would blur its "
            "curvature; call model.eval() first"
        )


def collect_parameters(
    model: nn.Module, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
) -> ParameterSpace:
    """Lay out what can be pruned, and what stands beside it, as one vector.

    Weights of linear layers, convolutions, embeddings and attention are prunable. Their biases and
    the parameters of normalisations are covered, so they can make up for what is removed, but stay.
    Parameters of fewer than two dimensions in modules of other kinds are left alone.

    Args:
        model: Any module.
        include: Patterns (`fnmatch`) of parameter names, one of which must match.
        exclude: Patterns none of which may match.

    Raises:
        LazyModuleError: A module is not built yet.
        UnsupportedLayerError: A matching weight belongs to a module of an unknown kind.
        TiedWeightsError: A covered parameter stands under several names.
        NothingPrunableError: No weight is prunable.
    """
    _require_built(model)
    found = [
        (name, parameter, module_name, kind, groups)
        for module_name, module in model.named_modules()
        for name, parameter, kind, groups in _owned(module_name, module, include, exclude)
    ]
    if not any(kind in PRUNABLE_KINDS for _, _, _, kind, _ in found):
        raise NothingPrunableError(
            f"no weight of a linear layer, convolution, embedding or attention matches {include!r} "
            f"without {exclude!r}"
        )
    _require_untied(model, {name for name, *_ in found})
    slots, start = [], 0
    for name, parameter, layer, kind, groups in found:
        stop = start + parameter.numel()
        slots.append(Slot(name, layer, parameter.shape, start, stop, kind, groups))
        start = stop
    # Halves of a float are too coarse for curvature, and for Adam's steps on it.
    dtype = torch.float32
    for _, parameter, *_ in found:
        dtype = torch.promote_types(dtype, parameter.dtype)
    device = found[0][1].device
    return ParameterSpace(slots, dtype, device, _constant(model, slots, start, device))


def _require_built(model: nn.Module) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            raise LazyModuleError(
                f"{name} has no shape yet; run the model once on a batch before pruning it"
            )


def _owned(
    module_name: str, module: nn.Module, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[tuple[str, nn.Parameter, Kind, int]]:
    """Matching parameters that a module itself owns, with their kind and groups."""
    kinds = _kinds(module)
    prefix = f"{module_name}." if module_name else ""
    own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    # A bias belongs behind its weight, whatever the order of registration.
    for short in sorted(own, key=lambda short: kinds.get(short, (Kind.VECTOR, 1))[0] is Kind.BIAS):
        name = f"{prefix}{short}"
        if not _matches(name, include) or _matches(name, exclude):
            continue
        if short in kinds:
            yield name, own[short], *kinds[short]
        elif own[short].dim() >= 2:
            raise UnsupportedLayerError(_unsupported(name, module))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _unsupported(name: str, module: nn.Module) -> str:
    if name.endswith("_orig"):
        return (
            f"{name} is a mask of torch.nn.utils.prune; make it permanent with prune.remove "
            "before further pruning"
        )
    return (
        f"{name} belongs to a {type(module).__name__}, which is not supported; leave it dense with "
        f"exclude=({name!r},)"
    )


def _kinds(module: nn.Module) -> dict[str, tuple[Kind, int]]:
    """Kind and groups of each parameter that a supported module owns, by its short name."""
    match module:
        case nn.Linear():
            return {"weight": (Kind.MATRIX, 1), "bias": (Kind.BIAS, 1)}
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return {"weight": (Kind.CONVOLUTION, module.groups), "bias": (Kind.BIAS, module.groups)}
        case nn.Embedding():
            if module.max_norm is not None or module.sparse:
                return {}
            return {"weight": (Kind.EMBEDDING, 1)}
        case nn.MultiheadAttention():
            # One projection of the tokens each for queries, keys and values, stacked.
            stacked = module.in_proj_weight is not None
            projections = {f"{one}_proj_weight": (Kind.MATRIX, 1) for one in "qkv"}
            return projections | {
                "in_proj_weight": (Kind.MATRIX, 3),
                "in_proj_bias": (Kind.BIAS, 3) if stacked else (Kind.VECTOR, 1),
                "bias_k": (Kind.VECTOR, 1),
                "bias_v": (Kind.VECTOR, 1),
            }
        case (
            nn.BatchNorm1d()
            | nn.BatchNorm2d()
            | nn.BatchNorm3d()
            | nn.LayerNorm()
            | nn.GroupNorm()
            | nn.RMSNorm()
        ):
            return {"weight": (Kind.VECTOR, 1), "bias": (Kind.VECTOR, 1)}
        case _:
            return {}


def _require_untied(model: nn.Module, covered: set[str]) -> None:
    names = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    for shared in names.values():
        if len(shared) > 1 and covered & set(shared):
            raise TiedWeightsError(
                f"{' and '.join(shared)} are one parameter; leave it dense with exclude={shared!r} "
                "or give each its own"
            )


def _constant(
    model: nn.Module, slots: Sequence[Slot], size: int, device: torch.device
) -> Tensor | None:
    """Where the padding rows of embeddings lie; None where there are none."""
    ranges = []
    for slot in slots:
        module = model.get_submodule(slot.layer)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            width = math.prod(slot.shape[1:])
            ranges.append(slice(*(slot.start + width * (module.padding_idx + i) for i in (0, 1))))
    if not ranges:
        return None
    constant = torch.zeros(size, dtype=torch.bool, device=device)
    for padding in ranges:
        constant[padding] = True
    return constant
