import torch

from compression.rivals.magnitude import Magnitude


def test_every_kept_weight_counts_alike(problem, loader, mask):
    curvature = Magnitude()
    curvature.attach(problem)
    curvature.fit(loader)
    curvature.set_mask(mask)
    assert torch.equal(curvature.inverse_diagonal(), mask.double())
    vectors = torch.randn(2, problem.space.size, dtype=torch.float64)
    assert torch.equal(curvature.inverse_product(vectors), vectors * mask)
    assert not curvature.compensates
    assert curvature.state_dict() == {}
