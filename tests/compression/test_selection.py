import pytest
import torch
from torch import nn

from compression.errors import StructureError
from compression.greedy import GreedyByRow
from compression.likelihoods import Categorical
from compression.rivals.layerwise import LayerwiseHessian
from compression.rivals.low_rank import LowRankFisher
from compression.surgeon import Surgeon
from compression.sweep import SweepByColumn


@pytest.mark.parametrize(
    ("solver", "named"), [(GreedyByRow(), "greedy"), (SweepByColumn(), "sweeps")]
)
@pytest.mark.parametrize(
    ("curvature", "structure"),
    [(lambda: LowRankFisher(10, 1), "unstructured"), (LayerwiseHessian, (2, 4))],
)
def test_other_curvature_or_structure_is_refused(solver, named, curvature, structure):
    torch.manual_seed(0)
    network = nn.Linear(4, 3).double().eval()
    loader = [(torch.randn(20, 4, dtype=torch.float64), torch.zeros(20, dtype=torch.int64))]
    surgeon = Surgeon(network, Categorical(), loader, curvature(), structure, solver=solver)
    surgeon.fit()
    with pytest.raises(StructureError, match=named):
        surgeon.step(0.5)
