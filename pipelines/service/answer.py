"""What the service answers."""

from pydantic import BaseModel, Field


class Reason(BaseModel):
    """What moves a line's probability."""

    cause: str = Field(description="A column, or what is known of earlier orders.")
    value: str | None = Field(None, description="Its value for this line, null if unknown.")
    log_odds: float = Field(description="What it adds to the log-odds of a return.")


class ScoredLine(BaseModel):
    """The score of one order line."""

    row_id: int | str | None = Field(None, description="The line's own key, if it was given.")
    probability: float = Field(ge=0, le=1, description="Calibrated probability of a return.")
    decision: int = Field(ge=0, le=1, description="1 where it reaches the threshold.")
    reasons: list[Reason] | None = Field(None, description="The strongest first, if wanted.")


class Model(BaseModel):
    """The model that scores."""

    uri: str = Field(description="As it was named when the service began.")
    version: str | None = Field(description="Version in the registry; null if it has none.")
    kind: str = Field(description="Kind of model, such as gnn.")
    source: str = Field(description="Source whose columns it reads.")
    protocol: str = Field(description="Columns that it was allowed to see.")


class ScoreAnswer(BaseModel):
    """Scores of all lines of a request, in its order."""

    model: Model
    threshold: float = Field(description="Least probability that decides for a return.")
    lines: list[ScoredLine]


class Status(BaseModel):
    """Whether the service lives."""

    status: str


class Readiness(BaseModel):
    """Whether requests are answered, and by which model."""

    status: str
    model: Model
    loaded_at: str = Field(description="When the model was loaded, ISO 8601, UTC.")
    last_failure: str | None = Field(
        description="Why the latest attempt to load another model failed; null if it did not."
    )


class Fault(BaseModel):
    """One thing wrong with a request."""

    loc: list[str | int] = Field(description="Where: `lines`, number of the line from 0, column.")
    msg: str = Field(description="What.")
    type: str = Field(description="Kind of fault.")


class Refusal(BaseModel):
    """Why a request is not answered."""

    detail: str | list[Fault]
