"""What a Gauss-Newton step says of itself, as numbers by name."""

from torch.optim import Optimizer

from gn_study.minimum_norm import MinNormDiagnostics
from gn_study.optimizers import ExactGN, MinNormGN


def diagnosis(optimiser: Optimizer) -> dict[str, float]:
    """Figures of the last step, if it was a diagnosed Gauss-Newton step.

    Returns:
        `kept_share` of the singular values (the least of all half-layers), `condition` (the
        largest), `residual` of the right inverse, `tangent_growth` (the largest norm of the
        pulled-back error, relative to the error's), `predicted_change` and `realised_change` of
        the batch's loss; nothing for other optimisers.
    """
    if not isinstance(optimiser, ExactGN | MinNormGN) or optimiser.diagnostics is None:
        return {}
    found = optimiser.diagnostics
    row = {
        "predicted_change": found.predicted_change,
        "realised_change": found.realised_change,
        "residual": found.direction.right_inverse_residual,
    }
    direction = found.direction
    if isinstance(direction, MinNormDiagnostics):
        row["kept_share"] = direction.kept_rank / direction.num_rows
        row["condition"] = direction.condition
    else:
        layers = direction.half_layers
        row["kept_share"] = min(layer.kept_rank / layer.num_rows for layer in layers)
        row["condition"] = max(layer.condition for layer in layers)
        row["tangent_growth"] = max(direction.tangent_norms)
    return {name: value for name, value in row.items() if value is not None}
