import pytest
import torch
from torch import nn

from compression.likelihoods import Categorical, Tempered
from compression.studies.methods import METHODS, Grid, Setting
from compression.studies.pruning import Subject

GRID = Grid(
    dampings=(1e-3, 1e-2),
    samples=((20, 1), (10, 4), (8, 5)),
    exact_samples=((10, 1), (10, 2), (10, 4)),
    temperatures=(2.0, 4.0, 8.0),
    steps=20,
    metric_steps=10,
)


@pytest.fixture
def subject():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4, bias=False)).eval()
    inputs = torch.randn(80, 6)
    targets = inputs[:, :4].argmax(dim=1)
    loader = list(zip(inputs.split(20), targets.split(20), strict=True))
    return Subject(network, Categorical(), loader)


def test_every_method_with_a_choice_tries_as_many_settings():
    numbers = {name: len(set(method.settings(GRID))) for name, method in METHODS.items()}
    assert numbers.pop("magnitude") == 1
    assert set(numbers.values()) == {6}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_prunes_and_keeps_the_dense_network(subject, name):
    method = METHODS[name]
    dense = {key: value.clone() for key, value in subject.network.state_dict().items()}
    for setting in method.settings(GRID)[-1:]:
        surgeon = subject.surgeon(method, setting, seed=0)
        surgeon.fit()
        surgeon.step(0.5)
        weights = torch.cat([w.flatten() for w in surgeon.masks.values()])
        assert int((~weights).sum()) == len(weights) // 2
    now = subject.network.state_dict()
    assert all(torch.equal(now[key], dense[key]) for key in dense)


def test_a_setting_tempers_the_likelihood_only_if_it_says_so():
    plain = Categorical()
    assert Setting().tempered(plain) is plain
    tempered = Setting(temperature=4.0).tempered(plain)
    assert isinstance(tempered, Tempered)
    assert tempered.temperature == 4.0


def test_the_first_order_term_of_chita_counts_groups():
    solver = METHODS["chita_first_order"].solver(Setting(group=16))
    assert solver.first_order == 1 / 16
    assert METHODS["chita"].solver(Setting(group=16)).first_order == 0
