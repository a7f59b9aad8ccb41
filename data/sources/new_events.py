"""What a source's order lines to score consist of, for those who hand them over one by one."""

from dataclasses import dataclass

from data.sources.mapped.description import ColumnType


@dataclass(frozen=True)
class NewEventColumn:
    """A column of order lines to score.

    Attributes:
        name: As in the source's files.
        type: How its values are read.
        is_required: Whether a line without a value cannot be scored.
        is_row_id: Whether it is the source's own key of the line, which tells nothing else.
        description: One sentence for the reader of the data.
        unit: Unit of a number.
        values: What a flag may say, in lower case.
    """

    name: str
    type: ColumnType
    is_required: bool
    is_row_id: bool = False
    description: str = ""
    unit: str | None = None
    values: tuple[str, ...] = ()
