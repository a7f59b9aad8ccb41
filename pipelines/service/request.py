"""What a request to score may say: a pydantic model made of the source's own columns."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, create_model

from data.sources.mapped.description import ColumnType
from data.sources.new_events import NewEventColumn

LARGEST_NUMBER = 1e15
"""So that no sum over a request leaves single precision."""

LONGEST_TEXT = 1000
"""Characters of a category."""

MOST_REASONS = 20

LARGEST_INTEGER = 2**63 - 1

TYPES: dict[ColumnType, Any] = {
    ColumnType.NUMBER: Annotated[
        float,
        Field(strict=True, allow_inf_nan=False, ge=-LARGEST_NUMBER, le=LARGEST_NUMBER),
    ],
    ColumnType.INTEGER: Annotated[int, Field(strict=True, ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)],
    ColumnType.DATE: Annotated[date, Field(strict=True)],
    ColumnType.CATEGORY: Annotated[str, Field(strict=True, max_length=LONGEST_TEXT)],
}
"""What JSON may hold in a column of each type; dates are ISO 8601 whatever the source's files say.
Flags are one of their own texts."""

ARROW_TYPES = {column_type: column_type.arrow for column_type in ColumnType} | {
    ColumnType.FLAG: pa.string()
}
"""Type of the column that the values make."""


def request_type(columns: Sequence[NewEventColumn], most_lines: int) -> type[BaseModel]:
    """The model of a request.

    Args:
        columns: Of the source's order lines.
        most_lines: Lines of a request at most.

    Returns:
        A model with `lines`, one model per order line whose fields have the columns' names, and
        `reasons`, how many main reasons are wanted of each line.
    """
    fields: dict[str, Any] = {
        _field_name(number): _field(column) for number, column in enumerate(columns)
    }
    line = create_model("OrderLine", __config__=ConfigDict(extra="forbid"), **fields)
    return create_model(
        "ScoreRequest",
        __config__=ConfigDict(extra="forbid"),
        lines=(
            Annotated[list[line], Field(min_length=1, max_length=most_lines)],  # type: ignore[valid-type]
            Field(description="Order lines, each basket whole."),
        ),
        reasons=(
            Annotated[int, Field(strict=True, ge=0, le=MOST_REASONS)],
            Field(0, description="Main reasons wanted of each line at most."),
        ),
    )


def rows_of(request: BaseModel, columns: Sequence[NewEventColumn]) -> pa.Table:
    """The lines of a request as the source's rows.

    Args:
        request: Of the type that `request_type` gave for the columns.
        columns: Of the source's order lines.

    Returns:
        One row per line; the source's own key of a line is its position, from 1.
    """
    lines = getattr(request, "lines")  # noqa: B009
    arrays = []
    for number, column in enumerate(columns):
        if column.is_row_id:
            arrays.append(pa.array(range(1, len(lines) + 1), pa.int64()))
        else:
            name = _field_name(number)
            values = [getattr(line, name) for line in lines]
            arrays.append(pa.array(values, ARROW_TYPES[column.type]))
    return pa.table(arrays, names=[column.name for column in columns])


def row_ids_of(request: BaseModel, columns: Sequence[NewEventColumn]) -> list[int | str | None]:
    """The source's own key of each line as the request gives it, None where it does not."""
    lines = getattr(request, "lines")  # noqa: B009
    for number, column in enumerate(columns):
        if column.is_row_id:
            return [getattr(line, _field_name(number)) for line in lines]
    return [None] * len(lines)


def _field(column: NewEventColumn) -> tuple[Any, Any]:
    type_ = TYPES.get(column.type)
    if type_ is None:
        type_ = Literal[column.values]
    description = column.description + (f", in {column.unit}" if column.unit else "")
    if column.is_required and not column.is_row_id:
        return type_, Field(alias=column.name, description=description)
    return type_ | None, Field(None, alias=column.name, description=description)


def _field_name(number: int) -> str:
    """A name that pydantic takes, whatever the column is called."""
    return f"column_{number}"
