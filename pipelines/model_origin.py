"""What a logged model tells of its making."""

from collections.abc import Mapping
from dataclasses import dataclass

from data.validation import Fault, InputError


@dataclass(frozen=True)
class ModelOrigin:
    """How a logged model came to be.

    Attributes:
        metadata: What was logged with it: protocol, source, model, digest of the dataset.
        parameters: Of the run that logged it.
    """

    metadata: Mapping[str, str]
    parameters: Mapping[str, str]


def origin_of(model_uri: str) -> ModelOrigin:
    """The origin of a logged model.

    Args:
        model_uri: Any MLflow model URI of the connected store.

    Raises:
        InputError: There is no such model, or its run is gone.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    try:
        info = get_model_info(model_uri)
        if info.run_id is None:
            raise InputError([_unknown(model_uri, "no run logged it")])
        parameters = MlflowClient().get_run(info.run_id).data.params
    except (MlflowException, OSError) as error:
        raise InputError([_unknown(model_uri, str(error).splitlines()[0])]) from error
    return ModelOrigin(info.metadata or {}, parameters)


def _unknown(model_uri: str, reason: str) -> Fault:
    message = f"nothing is known of how the model was made ({reason})"
    return Fault(model_uri, message, "Name a model that `train` logged, by its URI")
