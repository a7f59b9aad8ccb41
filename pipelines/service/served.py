"""A model as it is served: loaded, its past ready, with the requests that it understands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from data.sources.new_events import NewEventColumn
from data.sources.registry import NewEventsReader, reader
from data.validation import Fault as InputFault
from data.validation import InputError
from pipelines import registry, tracking
from pipelines.service.answer import Fault, Model, Reason, ScoreAnswer, ScoredLine
from pipelines.service.request import request_type, row_ids_of, rows_of
from returns.predictor import ReturnPredictor
from returns.reasons.contributions import Explainable
from returns.resident.predictor import ResidentPredictor

REGISTERED = re.compile(rf"models:/{re.escape(tracking.REGISTERED_MODEL)}(?:@(.+)|/(\d+))")
COLUMN = re.compile(r"column '(.+?)': (.+)", re.DOTALL)
"""How a source says which column a row was set aside for."""

WARM_UP_LINES = 20
"""Remembered lines that are scored before the first request."""

MOST_FAULTS = 50
LONGEST_NAME = 100
"""Faults of a request that are told, and characters of a name in them."""


class RefusedRequest(Exception):  # noqa: N818
    """A request that cannot be answered; carries what is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults[:MOST_FAULTS])
        super().__init__(f"{len(faults)} faults")


@dataclass(frozen=True)
class ServedModel:
    """A model that answers requests.

    Attributes:
        model: What it is.
        predictor: Scores.
        reader: Reads the source's order lines.
        columns: Of them.
        request_type: What a request may say.
        loaded_at: When it was loaded, UTC.
    """

    model: Model
    predictor: ResidentPredictor
    reader: NewEventsReader
    columns: Sequence[NewEventColumn]
    request_type: type[BaseModel]
    loaded_at: datetime

    @classmethod
    def of(cls, predictor: ReturnPredictor, uri: str, version: str | None, most_lines: int) -> Self:
        """Make a loaded predictor ready.

        Args:
            predictor: The predictor.
            uri: What it was loaded from.
            version: Its version in the registry, if it has one.
            most_lines: Lines of a request at most.
        """
        source = reader(predictor.source, predictor.options)
        columns = source.new_event_columns()
        resident = ResidentPredictor.of(predictor)
        # The first request would wait for all that libraries put off until they are used.
        resident.score(predictor.memory.last(WARM_UP_LINES))
        return cls(
            model=Model(
                uri=uri,
                version=version,
                kind=predictor.model.name,
                source=predictor.source,
                protocol=predictor.preparation.protocol.value,
            ),
            predictor=resident,
            reader=source,
            columns=columns,
            request_type=request_type(columns, most_lines),
            loaded_at=datetime.now(UTC),
        )

    def answer(self, body: bytes) -> ScoreAnswer:
        """Answer a request.

        Args:
            body: The request as JSON.

        Raises:
            RefusedRequest: It is no JSON, or says what cannot be scored.
        """
        try:
            request = self.request_type.model_validate_json(body)
        except ValidationError as error:
            raise RefusedRequest(_faults(error)) from None
        wanted = getattr(request, "reasons")  # noqa: B009
        scores = self._score(rows_of(request, self.columns), wanted)
        columns = {name: scores[name].to_pylist() for name in scores.column_names}
        reasons = columns.get("reasons", [None] * scores.num_rows)
        row_ids = row_ids_of(request, self.columns)
        lines = [
            _line(*each)
            for each in zip(
                row_ids, columns["probability"], columns["decision"], reasons, strict=True
            )
        ]
        threshold = self.predictor.predictor.calibration.threshold
        return ScoreAnswer(model=self.model, threshold=threshold, lines=lines)

    def _score(self, rows: pa.Table, reasons: int) -> pa.Table:
        if reasons and not isinstance(self.predictor.predictor.model, Explainable):
            message = f"the model '{self.model.kind}' gives no reasons"
            raise RefusedRequest([Fault(loc=["reasons"], msg=message, type="no_reasons")])
        try:
            new = self.reader.tables_from_rows(rows)
        except InputError as error:
            faults = [Fault(loc=["lines"], msg=str(each), type="source") for each in error.faults]
            raise RefusedRequest(faults) from None
        if new.rejects.num_rows:
            raise RefusedRequest([_reject(row) for row in new.rejects.to_pylist()])
        return self.predictor.score(new, reasons)


def load(uri: str, most_lines: int) -> ServedModel:
    """Load a model and make it ready.

    Args:
        uri: Any MLflow model URI, or a folder. A version of the registered model is verified.
        most_lines: Lines of a request at most.

    Raises:
        InputError: There is no such model, or it cannot serve.
    """
    registered = REGISTERED.fullmatch(uri)
    if registered is None:
        return ServedModel.of(tracking.load_predictor(uri), uri, None, most_lines)
    alias, number = registered.groups()
    version = registry.version_of(alias) if alias else registry.find(number)
    if version is None:
        message = "there is no such version of the registered model"
        remedy = "Register one with `train --register`, or check --home and MLFLOW_TRACKING_URI"
        raise InputError([InputFault(uri, message, remedy)])
    try:
        return load_version(version, uri, most_lines)
    except registry.UnservableError as error:
        remedy = "Name another version, or register the model anew"
        raise InputError([InputFault(uri, str(error), remedy)]) from error


def load_version(version: registry.Version, uri: str, most_lines: int) -> ServedModel:
    """Verify a version of the registered model and make it ready.

    Args:
        version: The version.
        uri: What it is served as.
        most_lines: Lines of a request at most.

    Raises:
        UnservableError: It cannot serve.
    """
    return ServedModel.of(registry.verify(version), uri, version.number, most_lines)


def alias_of(uri: str) -> str | None:
    """The alias of the registered model that a URI names, None if it names none."""
    registered = REGISTERED.fullmatch(uri)
    return None if registered is None else registered.group(1)


def _line(
    row_id: int | str | None,
    probability: float,
    decision: int,
    reasons: list[dict[str, Any]] | None,
) -> ScoredLine:
    given: dict[str, Any] = {"probability": probability, "decision": decision}
    if row_id is not None:
        given["row_id"] = row_id
    if reasons is not None:
        given["reasons"] = [Reason(**reason) for reason in reasons]
    return ScoredLine(**given)


def _faults(error: ValidationError) -> list[Fault]:
    """The faults without the values that caused them: those may be anybody's secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        Fault(
            loc=[_shortened(part) for part in each["loc"]],
            msg=each["msg"],
            type=each["type"],
        )
        for each in found[:MOST_FAULTS]
    ]


def _reject(row: dict[str, Any]) -> Fault:
    """The fault of a row that the source set aside; its content is not repeated."""
    loc: list[str | int] = ["lines", row["row"] - 1]
    named = COLUMN.fullmatch(row["reason"])
    if named is None:
        return Fault(loc=loc, msg=row["reason"], type="source")
    return Fault(loc=[*loc, named.group(1)], msg=named.group(2), type="source")


def _shortened(part: str | int) -> str | int:
    if isinstance(part, int) or len(part) <= LONGEST_NAME:
        return part
    return part[:LONGEST_NAME] + "…"
