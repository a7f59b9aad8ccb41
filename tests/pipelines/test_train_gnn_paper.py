"""The reference model is trained where it is named, and only there."""

from typing import get_args

import pandas as pd
from mlflow import MlflowClient

from pipelines import predict, train
from pipelines.model_arguments import DEFAULT_MODELS, ModelName
from returns.models.registry import MODELS


def test_every_model_can_be_named_and_the_default_leaves_out_the_references_and_the_stack():
    assert set(get_args(ModelName)) == set(MODELS)
    assert set(MODELS) - set(DEFAULT_MODELS) == {"stack", "sage", "gnn-paper"}
    assert train.Arguments().models == DEFAULT_MODELS


def test_the_reference_goes_the_whole_way(trained_home, tmp_path, run):
    words = ("--source", "orders", "--path", trained_home.orders, "--home", tmp_path)
    ended = run(train, *words, "--models", "gnn-paper", "--epochs", 2)
    assert ended.code == 0, ended.errors
    assert "gnn-paper" in ended.output
    store = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (model,) = store.search_logged_models([store.get_experiment_by_name("returns").experiment_id])
    orders = pd.read_csv(trained_home.orders)
    new = orders[orders["order_date"] >= "2012-12-01"].drop(columns="return")
    new.to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "scores.parquet"
    files = ("--events", tmp_path / "new.csv", "--out", out, "--home", tmp_path)
    scored = run(predict, "--model", model.model_uri, *files)
    assert scored.code == 0, scored.errors
    logged = store.download_artifacts(model.source_run_id, "predictions/test.parquet")
    assert pd.read_parquet(out)["probability"].equals(pd.read_parquet(logged)["probability"])
