"""Everything this project says to MLflow, and hears from it."""

import errno
import os
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from data.dataset import Manifest
from data.files import is_alive
from data.validation import Fault, InputError
from pipelines.command import NotNowError
from pipelines.home import TRACKING_VARIABLE, Home
from pipelines.redaction import without_credentials
from returns.predictor import ReturnPredictor

if TYPE_CHECKING:
    from mlflow.entities import Run

EXPERIMENT = "returns"
REGISTERED_MODEL = "returns"
PROCESS_TAG = "process"
MOST_METRICS_A_CALL = 1000
POINTING = (TRACKING_VARIABLE, "MLFLOW_EXPERIMENT_ID")
"""Variables that MLflow sets when it is pointed at a store and an experiment."""

NOT_SERVED = (
    *("anyio", "apscheduler", "fastapi", "matplotlib", "mlflow", "optuna", "pillow"),
    *("prometheus-client", "pydantic", "requests", "rich", "torchvision", "tyro", "tzdata"),
    "uvicorn",
)
"""Dependencies that a served model does without; MLflow, which loads it, comes last."""

_open_runs: set[str] = set()
"""Ids of the runs that this process has open."""

PYFUNC = Path(__file__).with_name("pyfunc_model.py")


def connect(home: Home, experiment: str = EXPERIMENT) -> str:
    """Point MLflow at the tracking store and the experiment; bury the runs of dead processes.

    The environment stays as it is: whatever was connected before in this process, another home is
    tracked in its own store.

    Args:
        home: Where the default store lies.
        experiment: Name of the experiment.

    Returns:
        The experiment's id.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    with _variables_kept():
        return _point(home, experiment)


@contextmanager
def available() -> Iterator[None]:
    """Say that the work can be repeated later where the store does not answer or has no room.

    Raises:
        NotNowError: The database is locked or gone, the server is not to be reached, or a disk is
            full.
    """
    try:
        yield
    except Exception as error:
        reason = _passing_reason(error)
        if reason is None:
            raise
        raise NotNowError(f"{reason}; nothing is lost, run it again") from error


@contextmanager
def run(
    name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], nested: bool = False
) -> Iterator["Run"]:
    """An MLflow run with its parameters and tags; fails if the block raises.

    Args:
        name: Name in the UI.
        parameters: Resolved configuration.
        tags: Tags of the run.
        nested: Whether it is a child of the current run.
    """
    import mlflow

    process = f"{socket.gethostname()}:{os.getpid()}"
    new = mlflow.start_run(run_name=name, nested=nested, tags={**tags, PROCESS_TAG: process})
    _open_runs.add(new.info.run_id)
    try:
        with new:
            mlflow.log_params({key: _text(value) for key, value in parameters.items()})
            yield new
    finally:
        _open_runs.discard(new.info.run_id)


def log_dataset(manifest: Manifest, folder: Path, context: str) -> None:
    """Log which dataset a run used, by the digest of its manifest."""
    import mlflow
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    source = LocalArtifactDatasetSource(str(folder))
    # MLflow takes digests of at most 36 characters.
    dataset = MetaDataset(source, name=manifest.source, digest=manifest.digest[:32])
    mlflow.log_input(dataset, context=context)
    mlflow.log_artifact(str(folder / "manifest.json"))


def log_history(run_id: str, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Log metrics of steps under `fit/`, apart from the final ones, in few calls."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    now = get_current_time_millis()
    metrics = [
        Metric(f"fit/{name}", float(value), now, step)
        for step, values in history
        for name, value in values.items()
    ]
    for start in range(0, len(metrics), MOST_METRICS_A_CALL):
        MlflowClient().log_batch(run_id, metrics=metrics[start : start + MOST_METRICS_A_CALL])


def log_metrics(values: Mapping[str, float]) -> None:
    """Log metrics of the current run; what is not a number (an undefined metric) is left out."""
    import mlflow

    mlflow.log_metrics({name: float(value) for name, value in values.items() if value == value})


def log_figures(figures: Mapping[str, Figure]) -> None:
    """Log figures as PNG files under `plots/`."""
    import mlflow

    for name, figure in figures.items():
        mlflow.log_figure(figure, f"plots/{name}.png")


def log_table(table: pd.DataFrame, path: str) -> None:
    """Log a table as CSV, and as Markdown to read in the UI."""
    import mlflow

    mlflow.log_text(table.to_csv(index=True), f"{path}.csv")
    mlflow.log_text(f"```\n{table.to_string()}\n```\n", f"{path}.md")


def log_model(predictor: Path, metadata: Mapping[str, Any]) -> str:
    """Log a saved predictor as a pyfunc that carries its own code and holds no pickle.

    Args:
        predictor: Folder that `ReturnPredictor.save` wrote.
        metadata: What a reader of the model should know.

    Returns:
        The model's URI.
    """
    import mlflow

    packages = Path(__file__).resolve().parents[1]
    info = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(PYFUNC),
        artifacts={"predictor": str(predictor)},
        code_paths=[str(packages / "data"), str(packages / "returns")],
        pip_requirements=requirements(),
        metadata=dict(metadata),
    )
    return str(info.model_uri)


def load_predictor(model_uri: str) -> ReturnPredictor:
    """Load the predictor inside a logged model, with MLflow's unpickling disabled.

    Args:
        model_uri: Any MLflow model URI, or a folder.

    Raises:
        InputError: There is no such model, or it is none of this project's.
    """
    # MLflow reads it with every load.
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        wrapper = mlflow.pyfunc.load_model(model_uri).unwrap_python_model()
    except (MlflowException, OSError) as error:
        first_line = without_credentials(str(error).splitlines()[0])
        message = f"the model cannot be loaded ({first_line})"
        remedy = "Check the URI, --home and MLFLOW_TRACKING_URI"
        raise InputError([Fault(model_uri, message, remedy)]) from error
    predictor = getattr(wrapper, "predictor", None)
    if not isinstance(predictor, ReturnPredictor):
        message = "this is no model that `train` logged"
        raise InputError([Fault(model_uri, message, "Name a run of experiment `returns`")])
    return predictor


def log_parameters(parameters: Mapping[str, Any]) -> None:
    """Log further parameters of the current run."""
    import mlflow

    mlflow.log_params({key: _text(value) for key, value in parameters.items()})


def describe_run(table: pd.DataFrame) -> None:
    """Show a table with one row per model on the current run's page."""
    rows = [["model", *table.columns], ["---", *["---:"] * len(table.columns)]]
    rows += [[str(name), *map(_cell, row)] for name, row in table.iterrows()]
    set_note("\n".join(f"| {' | '.join(row)} |" for row in rows))


def find_artifact(run_id: str, path: str) -> Path | None:
    """A file that a run logged; None if there is no such run or file."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    except OSError as error:
        if error.errno not in (None, errno.ENOENT):
            raise
    return None


def finished_run(tags: Mapping[str, str]) -> tuple[str, dict[str, str]] | None:
    """Id and tags of the newest finished run of the current experiment that has some tags."""
    import mlflow

    wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    found = mlflow.search_runs(
        filter_string=" and ".join([*wanted, "attributes.status = 'FINISHED'"]),
        max_results=1,
        output_format="list",
    )
    return (found[0].info.run_id, dict(found[0].data.tags)) if found else None


def set_tags(tags: Mapping[str, str]) -> None:
    """Set further tags of the current run."""
    import mlflow

    mlflow.set_tags(dict(tags))


def set_note(markdown: str) -> None:
    """Show a text on the current run's page."""
    import mlflow

    mlflow.set_tag("mlflow.note.content", markdown)


def log_text(text: str, path: str) -> None:
    """Log a text as an artifact of the current run."""
    import mlflow

    mlflow.log_text(text, path)


def log_file(path: Path, folder: str) -> None:
    """Log a file into a folder of the current run's artifacts."""
    import mlflow

    mlflow.log_artifact(str(path), folder)


def requirements() -> list[str]:
    """The bounds of this project's dependencies that a served model needs."""
    from importlib.metadata import requires

    declared = requires("fashion-returns") or []
    return [
        requirement
        for requirement in declared
        if "extra ==" not in requirement and not requirement.startswith(NOT_SERVED)
    ] + [requirement for requirement in declared if requirement.startswith("mlflow")]


def ui_command(home: Home) -> str:
    """The command that opens the MLflow UI on this store, for a shell.

    A store that the variable names stays a variable: its URI may hold a password.
    """
    uri = shlex.quote(home.tracking_uri) if home.tracks_here else f'"${TRACKING_VARIABLE}"'
    return f"mlflow ui --backend-store-uri {uri}"


def _point(home: Home, experiment: str) -> str:
    import mlflow

    mlflow.set_tracking_uri(home.tracking_uri)
    found = mlflow.get_experiment_by_name(experiment)
    if found is not None:
        experiment_id = str(found.experiment_id)
    else:
        location = (home.artifacts / experiment).as_uri() if home.tracks_here else None
        kind = {"mlflow.experimentKind": "custom_model_development"}
        experiment_id = str(
            mlflow.create_experiment(experiment, artifact_location=location, tags=kind)
        )
    mlflow.set_experiment(experiment_id=experiment_id)
    _bury_dead_runs(experiment_id)
    return experiment_id


@contextmanager
def _variables_kept() -> Iterator[None]:
    """Undo what MLflow writes into the environment: who reads it next would take it for a wish."""
    before = {name: os.environ.get(name) for name in POINTING}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _passing_reason(error: BaseException) -> str | None:
    """Why an error may be gone the next time, None if it will not be."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ConnectionError as Unreachable
    from requests.exceptions import Timeout
    from sqlalchemy.exc import OperationalError

    first_line = without_credentials((str(error).splitlines() or [""])[0])
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({error.filename or first_line})"
    if isinstance(error, (OperationalError, Unreachable, Timeout)):
        return f"the tracking store does not answer ({first_line})"
    if isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE":
        return f"the tracking store does not answer ({first_line})"
    cause = error.__cause__ or error.__context__
    return None if cause is None else _passing_reason(cause)


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return str(value)


def _bury_dead_runs(experiment_id: str) -> None:
    """Mark runs as killed whose process on this machine is gone.

    In containers every process has the number 1: a run that bears this process's own number and is
    not open here is of one before it.
    """
    from mlflow import MlflowClient

    client = MlflowClient()
    running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
    for stale in running:
        host, _, number = stale.data.tags.get(PROCESS_TAG, "").rpartition(":")
        if host != socket.gethostname() or not number.isdigit():
            continue
        is_own = int(number) == os.getpid()
        is_live = stale.info.run_id in _open_runs if is_own else is_alive(int(number))
        if not is_live:
            client.set_terminated(stale.info.run_id, status="KILLED")
