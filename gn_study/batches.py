"""What a batch must be before any direction is computed."""

from torch import Tensor

from gn_study.reversible_network import ReversibleNetwork


def check_batch(model: ReversibleNetwork, inputs: Tensor, error: Tensor) -> None:
    """See that a batch fits the network.

    Args:
        model: The network.
        inputs: `(num_samples, width)`.
        error: `(num_samples, num_outputs)`.

    Raises:
        ValueError: A shape or type does not fit, or there are no samples.
        FloatingPointError: Inputs or error are not finite.
    """
    if inputs.ndim != 2 or inputs.shape[1] != model.width or not len(inputs):
        wanted = f"(num_samples, {model.width})"
        raise ValueError(f"inputs have shape {tuple(inputs.shape)}, not {wanted}")
    if error.shape != (len(inputs), model.num_outputs):
        wanted = f"({len(inputs)}, {model.num_outputs})"
        raise ValueError(f"the error has shape {tuple(error.shape)}, not {wanted}")
    types = {value.dtype for value in (inputs, error, *model.parameters())}
    if len(types) > 1:
        raise ValueError(f"inputs, error and network have several types: {sorted(map(str, types))}")
    for name, value in (("inputs", inputs), ("error", error)):
        if not value.isfinite().all():
            raise FloatingPointError(f"the {name} are not all finite")
