from mlflow import MlflowClient

from pipelines.code_version import code_version


def registered(home):
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}").get_model_version("returns", "1")


def test_a_version_carries_data_code_days_and_figures(trained_home):
    version = registered(trained_home.folder)
    run = MlflowClient(f"sqlite:///{trained_home.folder / 'mlflow.db'}").get_run(version.run_id)
    tags = version.tags
    assert tags["protocol"] == "strict" and tags["source"] == "orders"
    assert tags["model"] == run.data.tags["model"]
    assert tags["code_version"] == code_version()
    assert len(tags["dataset_digest"]) == 64
    assert tags["validation_from"] < tags["test_from"] <= tags["last_day"]
    for metric in ("f1", "cross_entropy", "roc_auc", "brier", "ece"):
        assert abs(float(tags[f"test_{metric}"]) - run.data.metrics[f"test_{metric}"]) < 1e-6


def test_the_card_tells_what_of_which_data_its_limits_and_its_figures(trained_home):
    version = registered(trained_home.folder)
    card = version.description
    for part in ("## Data", "## Limits", "## Test", "## By customer", "## By user_state"):
        assert part in card
    assert version.tags["dataset_digest"] in card
    assert "| known |" in card and "| Hesse |" in card
    assert f"{float(version.tags['test_cross_entropy']):.4f}" in card
    assert "only what was known when an order was placed" in card


def test_the_code_version_names_the_project_and_a_digest():
    number, _, digest = code_version().partition("+")
    assert number == "0.1.0"
    assert len(digest) == 12
