"""The published checkpoint of the MLPNet study, read without running what its pickle names."""

from pathlib import Path

import torch

from compression.studies.networks import MLPNet

PREFIX, SUFFIX = "module.", "._layer.weight"


class _Ignored:
    """Stands for the optimizer and schedule that the checkpoint names; keeps nothing."""

    def __setstate__(self, state: object) -> None:
        """Take no state."""


def load_mlpnet(path: Path) -> MLPNet:
    """Read the dense MLPNet that the WoodFisher, M-FAC and CHITA papers prune.

    Args:
        path: File with `model_state_dict`, whose names are `module.fc1._layer.weight` and so on.

    Returns:
        The network in evaluation mode.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no such checkpoint.
    """
    ignored = [
        (_Ignored, "torch.optim.sgd.SGD"),
        (_Ignored, "torch.optim.lr_scheduler.ExponentialLR"),
    ]
    network = MLPNet()
    try:
        with torch.serialization.safe_globals([*ignored, dict]):
            state = torch.load(path, weights_only=True, map_location="cpu")["model_state_dict"]
        weights = {
            name.removeprefix(PREFIX).replace(SUFFIX, ".weight"): values
            for name, values in state.items()
            if name.endswith(SUFFIX)
        }
        network.load_state_dict(weights)
    except OSError:
        raise
    # Whatever other bytes make the unpickler raise, the file is no checkpoint; what it says of
    # unsafe loading is no advice to pass on.
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint of the MLPNet") from error
    return network.eval()
