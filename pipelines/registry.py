"""The registered model `returns`: its versions, and which of them serves.

Aliases say what a version is: `champion` serves, `challenger` was the last to be compared with it,
`previous` served before. Whoever serves resolves `models:/returns@champion`; moving that alias is
one transaction of the registry, so that at every moment there is a champion or, before the first,
none. A version is loaded and has scored events before it becomes champion.
"""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.files import digest_folder
from data.validation import Fault, InputError
from pipelines.tracking import REGISTERED_MODEL, load_predictor
from returns.predictor import ReturnPredictor

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

FILES_TAG, PROBE_TAG, PREDECESSOR_TAG = "files_sha256", "probe", "predecessor"
PROMOTED_TAG, ROLLED_BACK_TAG = "promoted_at", "rolled_back_at"

PROBE_EVENTS = 20
"""Remembered events that a version scores when it is registered and whenever it is verified."""

PROBE_TOLERANCE = 1e-5
"""Largest difference of a probability to the one at registration; machines round differently."""

LONGEST_DESCRIPTION = 5000
"""Characters of a description that MLflow's database holds."""

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Error codes of MLflow where there is no such model, version or alias."""


class UnservableError(Exception):
    """A version cannot be loaded, or does not score as it did when it was registered."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    Attributes:
        number: As the registry counts.
        run_id: Run that logged it.
        tags: What it carries: protocol, source, model, dataset digest, code version, figures.
    """

    number: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """The URI of exactly this version."""
        return f"models:/{REGISTERED_MODEL}/{self.number}"


def register(
    model_uri: str, predictor: ReturnPredictor, tags: Mapping[str, str], description: str
) -> Version:
    """Register a logged model once it was read back and scored as the one in memory does.

    Args:
        model_uri: Of the logged model.
        predictor: The same model in memory.
        tags: What the version carries.
        description: The model card, in Markdown; its beginning where it is too long.

    Raises:
        UnservableError: What was logged is not what was trained; nothing is registered.
    """
    import mlflow

    folder = _downloaded(model_uri)
    expected = probe(predictor)
    _check_probe(model_uri, _loaded(folder, model_uri), expected)
    own = {FILES_TAG: digest_folder(folder / "artifacts"), PROBE_TAG: json.dumps(expected.tolist())}
    created = mlflow.register_model(model_uri, REGISTERED_MODEL, tags={**tags, **own})
    if len(description) > LONGEST_DESCRIPTION:
        description = description[: LONGEST_DESCRIPTION - 2].rsplit("\n", 1)[0] + "\n…"
    _client().update_model_version(REGISTERED_MODEL, created.version, description)
    return _version(created)


def introduce(version: Version) -> str:
    """Make a version the champion if there is none, else the challenger.

    Returns:
        The alias it got.

    Raises:
        UnservableError: It would be champion, and cannot be loaded.
    """
    if version_of(CHAMPION) is None:
        promote(version)
        return CHAMPION
    challenge(version)
    return CHALLENGER


def challenge(version: Version) -> None:
    """Make a version the challenger."""
    _client().set_registered_model_alias(REGISTERED_MODEL, CHALLENGER, version.number)


def promote(version: Version) -> None:
    """Make a version the champion; the champion so far becomes `previous`.

    Promoting the champion changes nothing, so that a promotion that was cut short can be repeated.

    Raises:
        UnservableError: The version cannot be loaded, or scores differently; all stays as it was.
    """
    verify(version)
    client, champion = _client(), version_of(CHAMPION)
    if champion is not None and champion.number != version.number:
        _tag(version, PREDECESSOR_TAG, champion.number)
        client.set_registered_model_alias(REGISTERED_MODEL, PREVIOUS, champion.number)
    _tag(version, PROMOTED_TAG, _now())
    client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version.number)
    _remove_alias_of(CHALLENGER, version)


def rollback() -> tuple[Version, Version]:
    """Make the champion's predecessor champion again.

    Returns:
        The champion so far, and the one from now on.

    Raises:
        InputError: There is no champion, or it has no predecessor.
        UnservableError: The predecessor cannot be loaded; all stays as it was.
    """
    champion = version_of(CHAMPION)
    predecessor = None if champion is None else find(champion.tags.get(PREDECESSOR_TAG, ""))
    if champion is None or predecessor is None:
        message = "no version served before the champion" if champion else "there is no champion"
        remedy = f"Set the alias by hand: {REGISTERED_MODEL} in the MLflow UI"
        raise InputError([Fault("--rollback", message, remedy)])
    verify(predecessor)
    _client().set_registered_model_alias(REGISTERED_MODEL, CHAMPION, predecessor.number)
    _tag(champion, ROLLED_BACK_TAG, _now())
    before = find(predecessor.tags.get(PREDECESSOR_TAG, ""))
    if before is None:
        _client().delete_registered_model_alias(REGISTERED_MODEL, PREVIOUS)
    else:
        _client().set_registered_model_alias(REGISTERED_MODEL, PREVIOUS, before.number)
    return champion, predecessor


def restore_champion() -> tuple[Version | None, str | None]:
    """See that the champion can serve; else make the latest version that served before champion.

    Returns:
        The champion, None if no version can serve; and what was wrong and done, None if nothing.
    """
    champion, wrong = version_of(CHAMPION), None
    if champion is None:
        wrong = "there was no champion"
    else:
        try:
            verify(champion)
            return champion, None
        except UnservableError as error:
            wrong = str(error)
    served = [
        version
        for version in versions()
        if PROMOTED_TAG in version.tags
        and ROLLED_BACK_TAG not in version.tags
        and (champion is None or version.number != champion.number)
    ]
    for version in sorted(served, key=lambda each: each.tags[PROMOTED_TAG], reverse=True):
        try:
            verify(version)
        except UnservableError:
            continue
        _client().set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version.number)
        _remove_alias_of(PREVIOUS, version)
        return version, f"{wrong}; version {version.number} serves again"
    return None, wrong if served or champion is not None else None


def verify(version: Version) -> ReturnPredictor:
    """Load a version and let it score the events that it scored when it was registered.

    Raises:
        UnservableError: A file is missing or differs, or the scores do.
    """
    folder = _downloaded(version.uri)
    expected = version.tags.get(FILES_TAG)
    if expected is not None and digest_folder(folder / "artifacts") != expected:
        raise UnservableError(f"files of {version.uri} are not those that were registered")
    predictor = _loaded(folder, version.uri)
    if PROBE_TAG in version.tags:
        scores = np.array(json.loads(version.tags[PROBE_TAG]), dtype=np.float64)
        _check_probe(version.uri, predictor, scores)
    return predictor


def probe(predictor: ReturnPredictor) -> np.ndarray:
    """Probabilities of the last events that a predictor remembers, as if they were new.

    Returns:
        float64 `(num_probed,)`, at most `PROBE_EVENTS`.
    """
    scores = predictor.score(predictor.memory.last(PROBE_EVENTS))
    return np.asarray(scores["probability"].to_numpy(), dtype=np.float64)


def version_of(alias: str) -> Version | None:
    """The version that has an alias, None if none has."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(_client().get_model_version_by_alias(REGISTERED_MODEL, alias))
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise


def find(number: str) -> Version | None:
    """The version of that number, None if there is none."""
    return next((version for version in versions() if version.number == number), None)


def versions(tags: Mapping[str, str] | None = None) -> list[Version]:
    """Versions that carry the tags, the newest first."""
    wanted = [f"name = '{REGISTERED_MODEL}'"]
    wanted += [f"tags.`{name}` = '{value}'" for name, value in (tags or {}).items()]
    found = _client().search_model_versions(" and ".join(wanted))
    return sorted(map(_version, found), key=lambda version: -int(version.number))


def is_known() -> bool:
    """Whether the registry has the registered model at all."""
    from mlflow.exceptions import MlflowException

    try:
        _client().get_registered_model(REGISTERED_MODEL)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return False
        raise
    return True


def _client() -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient()


def _version(entity: Any) -> Version:
    return Version(str(entity.version), str(entity.run_id), dict(entity.tags))


def _tag(version: Version, name: str, value: str) -> None:
    _client().set_model_version_tag(REGISTERED_MODEL, version.number, name, value)


def _remove_alias_of(alias: str, version: Version) -> None:
    holder = version_of(alias)
    if holder is not None and holder.number == version.number:
        _client().delete_registered_model_alias(REGISTERED_MODEL, alias)


def _downloaded(model_uri: str) -> Path:
    """Folder of a model's files; that of a local store itself."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))
    except OSError as error:
        # MLflow's own error for a missing file has no number; others are of the disk or the line.
        if error.errno not in (None, errno.ENOENT):
            raise
        raise UnservableError(f"files of {model_uri} are missing ({error})") from error
    except MlflowException as error:
        if error.error_code in ABSENT:
            raise UnservableError(f"files of {model_uri} are missing ({error.message})") from error
        raise


def _loaded(folder: Path, name: str) -> ReturnPredictor:
    # Whatever a damaged file makes a reader raise, the version cannot serve.
    try:
        return load_predictor(str(folder))
    except MemoryError:
        raise
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise UnservableError(f"{name} cannot be loaded ({first_line})") from error


def _check_probe(name: str, predictor: ReturnPredictor, expected: np.ndarray) -> None:
    try:
        found = probe(predictor)
    except Exception as error:
        raise UnservableError(f"{name} cannot score ({error})") from error
    alike = found.shape == expected.shape and np.allclose(
        found, expected, rtol=0, atol=PROBE_TOLERANCE
    )
    if not alike:
        raise UnservableError(f"{name} scores differently than when it was registered")


def _now() -> str:
    return datetime.now(UTC).isoformat()
