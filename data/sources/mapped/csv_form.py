"""Rows of any input as a CSV file of the same mapping would hold them."""

import pyarrow as pa
import pyarrow.compute as pc

from data.sources.mapped.description import ColumnType, TableMapping
from data.sources.mapped.parsing import parse_column, written_days
from data.sources.mapped.text_rows import TextRows


def csv_form(rows: TextRows, table: TableMapping) -> pa.Table:
    """The columns as text, in the mapping's own formats where the input itself types its values.

    Args:
        rows: The rows as read.
        table: The mapping of the input; says which columns, and how dates and numbers are written.

    Returns:
        Text, shape `(num_rows,)` each. Read back it gives the values that the rows give, but for
        dates that their format cannot say, such as one of 1950 in a year of two digits.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for column in table.columns:
        text = rows.text(column.source)
        if column.type is ColumnType.DATE and column.source in rows.days:
            days = parse_column(text, column, table.nulls, table.decimal, iso_days=True).values
            text = written_days(days, column.date_format)
        elif column.type is ColumnType.NUMBER and not rows.is_text(column.source):
            text = pc.replace_substring(text, ".", table.decimal)
        columns[column.source] = text
    return pa.table(columns)
