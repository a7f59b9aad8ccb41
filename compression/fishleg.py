r"""FishLeg: natural gradients by an inverse Fisher matrix that is learned while training.

The conjugate of the regularised cross-entropy between a model and itself moved by `d` has the
natural gradient `(F + g I)^-1 u` for its derivative along `u`, so a linear map `Q` that is trained
on the auxiliary loss of `compression.auxiliary`, with the loss' own gradients for directions, turns
gradients into natural ones (Garcia et al., ICLR 2023). Beginning at a multiple of the identity, the
first step is one of SGD; the better `Q` is known, the more it is one of Newton's method.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from compression.auxiliary import BETAS, EPSILON, auxiliary_loss
from compression.errors import DivergedError
from compression.families.layered import make_family
from compression.fisher import fisher_product
from compression.likelihoods import Likelihood
from compression.operators import InverseOperator
from compression.parameters import collect_parameters
from compression.problem import Bundle, Inputs, Problem

CURVATURE = "curvature"
"""Name in a saved state: all that `torch.optim.Optimizer` does not know of."""


class _Watcher:
    """Keeps the inputs of a model's last call with gradients.

    It hangs on the model, so copies of the model, and files of it, have one too: that one is blind.

    Attributes:
        is_watching: Whether it looks at calls.
        inputs: Of the last one.
    """

    def __init__(self, is_watching: bool = True) -> None:
        self.is_watching = is_watching
        self.inputs: Inputs | None = None

    def __call__(self, model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Keep the inputs."""
        if not self.is_watching or not torch.is_grad_enabled():
            return
        if arguments and named:
            raise TypeError("call the model with all inputs in order, or all by name")
        is_bundle = len(arguments) == 1 and isinstance(arguments[0], Bundle)
        self.inputs = named or (arguments[0] if is_bundle else arguments)

    def __reduce__(self) -> tuple[type["_Watcher"], tuple[bool]]:
        """What a copy is made by."""
        return _Watcher, (False,)


class FishLeg(torch.optim.Optimizer):
    """`m = beta m + (1 - beta) Q g`, `w = w - lr (m + decay w)`, with a `Q` that is learned.

    The loss must be the likelihood's mean over a batch. Inputs of the model's last call with
    gradients are what the Fisher matrix is taken of, exactly, in evaluation mode: `Q` is learned
    without a look at targets. Parameters that no family covers go as by SGD.

    Args:
        model: What is trained.
        likelihood: Whose mean negative log-likelihood the loss is.
        lr: Step size; about 1 would be Newton's own for a loss that `F` is the Hessian of.
        sgd_lr: Step size of SGD that the first step equals: `Q` begins at `sgd_lr / lr`.
        params: Parameters or groups of them; None for all that are trained, in one group. Groups
            may have `lr`, `momentum` and `weight_decay` of their own.
        momentum: `beta`; the first step counts in full, as with dampened momentum in torch.
        weight_decay: Times the weights is added to the direction.
        damping: `g`, added to the diagonal of the Fisher matrix.
        family: A key of `compression.families.layered.FAMILIES`.
        update_every: Steps from one update of `Q` to the next.
        auxiliary_lr: Of Adam on the parameters of `Q`.
        precondition: Whether the preconditioned auxiliary loss is used.
        exclude: Patterns of parameter names that `Q` leaves alone.

    Attributes:
        residual: `|c| / (|(F + g I) v| + |u|)` at the last update: 0 where the step is exact.

    Raises:
        ValueError: A figure is out of range, or a parameter is not the model's.
        UnsupportedLayerError: A weight belongs to a module of an unknown kind.
        TiedWeightsError: A weight stands under several names.
        LazyModuleError: A module is not built yet.
        NothingPrunableError: No weight is of a known kind.
    """

    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        lr: float = 0.05,
        sgd_lr: float = 0.1,
        *,
        params: Iterable[Tensor] | Iterable[dict[str, Any]] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        damping: float = 0.1,
        family: str = "kronecker",
        update_every: int = 10,
        auxiliary_lr: float = 1e-3,
        precondition: bool = True,
        exclude: Sequence[str] = (),
    ) -> None:
        _check(lr, sgd_lr, momentum, weight_decay, update_every, auxiliary_lr)
        trained = [one for one in model.parameters() if one.requires_grad]
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(trained if params is None else params, defaults)
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        for group in self.param_groups:
            if any(parameter not in self._names for parameter in group["params"]):
                raise ValueError("a parameter in params is none of the model's")
        space = collect_parameters(model, exclude=exclude)
        self._problem = Problem(model, likelihood, space, damping)
        self._scale = sgd_lr / lr
        self._operator = make_family(family, space, self._scale)
        self._adam = torch.optim.Adam(
            self._operator.parameters(), lr=auxiliary_lr, betas=BETAS, eps=EPSILON
        )
        self.update_every = update_every
        self.precondition = precondition
        self.residual = 1.0
        self._num_steps = 0
        self._watcher = _Watcher()
        self._handle: RemovableHandle = model.register_forward_pre_hook(
            self._watcher, with_kwargs=True
        )

    @property
    def operator(self) -> InverseOperator:
        """`Q`, which may be set to what is known of the inverse."""
        return self._operator

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Go one step, and learn before it where it is time to.

        Args:
            closure: Computes the loss and its gradients anew; None if they are there.

        Returns:
            The closure's loss.

        Raises:
            DivergedError: A gradient or the auxiliary loss is not finite.
            RuntimeError: The model was not called with gradients since the optimizer was made.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradient = self._gradient()
        if self._num_steps % self.update_every == 0 and bool(gradient.any()):
            self._learn(gradient)
        self._num_steps += 1
        natural = self._problem.space.unflatten(self._operator.product(gradient))
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    found = natural.get(self._names[parameter])
                    along = self._scale * parameter.grad if found is None else found
                    self._move(parameter, along.to(parameter), group)
        return loss

    def __getstate__(self) -> dict[str, Any]:
        """Not there: a copy would look at the calls of a model that it does not know.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "FishLeg cannot be copied or pickled: make a new one for the copy of the model, and "
            "load this one's state_dict() into it"
        )

    def state_dict(self) -> dict[str, Any]:
        """Momenta and groups, the matrix, the state of its Adam, and how many steps were gone."""
        return super().state_dict() | {
            CURVATURE: {
                "operator": self._operator.state_dict(),
                "adam": self._adam.state_dict(),
                "num_steps": self._num_steps,
                "residual": self.residual,
            }
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take on what `state_dict` gave; the same steps follow, bit for bit.

        Raises:
            ValueError: The groups are others, or the state is another optimizer's.
        """
        if CURVATURE not in state_dict:
            raise ValueError("the state is that of another optimizer: it has no learned inverse")
        # Else two optimizers would move the same tensors, where the state comes from no file.
        state_dict = copy.deepcopy(state_dict)
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        curvature = state_dict[CURVATURE]
        self._operator.load_state_dict(curvature["operator"])
        self._adam.load_state_dict(curvature["adam"])
        self._num_steps = curvature["num_steps"]
        self.residual = curvature["residual"]

    def detach(self) -> None:
        """Look at the model's inputs no more; the optimizer is at its end."""
        self._handle.remove()
        self._watcher.inputs = None

    def _gradient(self) -> Tensor:
        """Of all covered numbers, `(size,)`; 0 where a parameter has none."""
        space = self._problem.space
        gradient = space.flatten(
            {
                name: torch.zeros_like(weight) if weight.grad is None else weight.grad
                for name, weight in space.of(self._problem.model).items()
            }
        )
        if not bool(gradient.isfinite().all()):
            raise DivergedError(
                "a gradient is not finite: lower lr, or look for NaN in inputs, targets or weights"
            )
        return gradient

    def _learn(self, gradient: Tensor) -> None:
        """One step of Adam on the auxiliary loss along a gradient."""
        problem, inputs = self._problem, self._watcher.inputs
        if inputs is None:
            raise RuntimeError("the model was not called since FishLeg was made for it")

        def damped_product(vector: Tensor) -> Tensor:
            return fisher_product(problem, inputs, vector) + problem.damping * vector

        with self._learning(), torch.enable_grad():
            loss = auxiliary_loss(
                self._operator, damped_product, gradient, precondition=self.precondition
            )
        self._adam.zero_grad()
        loss.surrogate.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._adam.zero_grad()
        self.residual = loss.residual

    @contextmanager
    def _learning(self) -> Iterator[None]:
        """The model in evaluation mode, its inputs not looked at."""
        modes = {module: module.training for module in self._problem.model.modules()}
        self._problem.model.eval()
        self._watcher.is_watching = False
        try:
            yield
        finally:
            self._watcher.is_watching = True
            for module, is_training in modes.items():
                module.training = is_training

    def _move(self, parameter: Tensor, along: Tensor, group: dict[str, Any]) -> None:
        """Move one parameter, a natural gradient given."""
        momentum = group["momentum"]
        if momentum > 0:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = along.clone()
            else:
                state["momentum"].mul_(momentum).add_(along, alpha=1 - momentum)
            along = state["momentum"]
        parameter.add_(along + group["weight_decay"] * parameter, alpha=-float(group["lr"]))


def _check(
    lr: float,
    sgd_lr: float,
    momentum: float,
    weight_decay: float,
    update_every: int,
    auxiliary_lr: float,
) -> None:
    if not min(lr, sgd_lr, auxiliary_lr) > 0:
        raise ValueError(f"step sizes must be above 0, not {lr}, {sgd_lr} and {auxiliary_lr}")
    if not 0 <= momentum < 1 or not weight_decay >= 0:
        raise ValueError(
            f"momentum must be at least 0 and below 1, weight_decay at least 0, not {momentum} and "
            f"{weight_decay}"
        )
    if update_every < 1:
        raise ValueError(f"update_every must be 1 or more, not {update_every}")
