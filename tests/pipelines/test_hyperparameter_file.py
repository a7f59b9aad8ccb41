import json

import pytest
from mlflow import MlflowClient

from data.validation import InputError
from pipelines import train
from pipelines.hyperparameter_file import read_hyperparameters, write_hyperparameters

GOOD = {"logistic": {"inverse_regularisation": 0.5}, "lightgbm": {"num_leaves": 7}, "gnn": {}}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new folder" / "tuned.json"
    write_hyperparameters(path, GOOD)
    assert read_hyperparameters(path) == GOOD
    assert [file.name for file in path.parent.iterdir()] == ["tuned.json"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        ("[]", "must map models"),
        ('{"oracle": {}}', "there is no model 'oracle'"),
        ('{"mlp": 3}', "model 'mlp': its hyper-parameters must be an object, not 3"),
        ('{"mlp": {"heads": 4}}', "model 'mlp': 'heads' is no hyper-parameter"),
        ('{"mlp": {"seed": 4}}', "model 'mlp': 'seed' is given to all models alike"),
        ('{"mlp": {"dropout": "0.5"}}', "'dropout' must be of type float, not '0.5'"),
        ('{"mlp": {"dropout": NaN}}', "'dropout' must be of type float, not nan"),
        ('{"mlp": {"hidden_width": 64.0}}', "'hidden_width' must be of type int, not 64.0"),
        ('{"mlp": {"heads": 4}}', "hidden_width (int), hidden_layers (int), dropout (float)"),
        ('{"mlp": {}, "mlp": {"dropout": 0.5}}', "twice in one object: mlp"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path, content, says):
    path = tmp_path / "tuned.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        read_hyperparameters(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_all_faults_are_reported_together(tmp_path):
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps({"oracle": {}, "mlp": {"heads": 4, "dropout": "x"}}))
    with pytest.raises(InputError) as refused:
        read_hyperparameters(path)
    assert len(refused.value.faults) == 3


def test_train_refuses_it_before_any_work(tmp_path, run):
    path = tmp_path / "tuned.json"
    path.write_text('{"mlp": {"heads": 4}}')
    home = tmp_path / "home"
    ended = run(train, "--hyperparameters", path, "--epochs", 0, "--home", home)
    assert ended.code == 2
    for says in ("tuned.json", "mlp", "heads", "hidden_width (int)", "--epochs"):
        assert says in ended.errors
    absent = run(train, "--hyperparameters", tmp_path / "absent.json", "--home", home)
    assert absent.code == 2
    assert "absent.json" in absent.errors
    assert not home.exists()


def test_train_uses_it(tmp_path, run, trained_home):
    path = tmp_path / "tuned.json"
    write_hyperparameters(path, GOOD)
    words = ("--source", "orders", "--path", trained_home.orders, "--home", tmp_path)
    ended = run(train, *words, "--hyperparameters", path, "--models", "logistic", "forest")
    assert ended.code == 0, ended.errors
    store = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("returns")
    parameters = {
        found.data.tags["model"]: found.data.params
        for found in store.search_runs([experiment.experiment_id])
        if "model" in found.data.tags
    }
    assert parameters["logistic"]["model.inverse_regularisation"] == "0.5"
    assert parameters["forest"]["model.num_trees"] == "200"
    assert parameters["forest"]["hyperparameters"] == str(path)
