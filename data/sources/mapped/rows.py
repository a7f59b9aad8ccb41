"""Rows of one input, parsed column by column, with the faulty ones set aside."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.sources.mapped.description import ColumnMapping, ColumnType, Limits, TableMapping
from data.sources.mapped.keys import codes, first_rows
from data.sources.mapped.parsing import parse_column, typed_column, within_years_before
from data.sources.mapped.text_rows import TextRows
from data.validation import Fault, InputError, RowSieve, unparsed

MOST_REASONS_SHOWN = 3


class ParsedRows:
    """The rows of one input, as typed columns under their names in the file.

    Attributes:
        values: One column per mapped column; a column that the input lacks is all null.
        table: The mapping of the input.
        legible: Columns of which some value could be read.
        illegible: Columns of which some value could not.
    """

    def __init__(self, text: TextRows, table: TableMapping, columns: Sequence[ColumnMapping]):
        """Parse the columns; a value that cannot be read sets its row aside.

        Args:
            text: The rows as read.
            table: The mapping of the input.
            columns: Which of its columns to parse.
        """
        self.table = table
        self.values: dict[str, pa.ChunkedArray] = {}
        self.legible: set[str] = set()
        self.illegible: set[str] = set()
        self._text = text
        self._sieve = RowSieve(text.file, len(text.numbers), text.all_text)
        self._nulled: dict[str, np.ndarray] = {}
        self._columns = columns
        for column in columns:
            self._parse(column)
        for column in columns:
            if column.years_before_order != Limits() and table.time is not None:
                self._compare_with_order(column, self.values[table.time])

    def __len__(self) -> int:
        """Number of rows read, faulty ones among them, ragged ones not."""
        return len(self._text.numbers)

    def reject(self, rows: np.ndarray, reason: str) -> None:
        """Set rows aside, mask of shape `(len(self),)`."""
        self._sieve.reject(rows, reason)

    def require(self, column: str, values: pa.ChunkedArray, what: str) -> None:
        """Set the rows aside in which a value is null.

        Args:
            column: Column that it comes from.
            values: Shape `(len(self),)`.
            what: What the value is, for the reason.
        """
        if not values.null_count:
            return
        missing = np.asarray(pc.is_null(values).to_numpy(), dtype=bool)
        self.reject(missing, f"column '{column}': {what} is missing or impossible")

    def reject_repeated(
        self, column: str, key: pa.ChunkedArray, what: str, label: pa.ChunkedArray | None = None
    ) -> None:
        """Set aside the rows whose key an earlier row has, all of them if labels conflict.

        Args:
            column: Column that the key comes from.
            key: Key of each row, without nulls in the rows kept so far.
            what: What the key identifies.
            label: Label of each row.
        """
        kept = np.flatnonzero(self._sieve.kept())
        code = codes(key if len(kept) == len(self) else key.take(pa.array(kept)))
        repeated = np.ones(len(kept), dtype=bool)
        repeated[first_rows(code, None)] = False
        if not repeated.any():
            return
        if label is not None:
            returned = pc.fill_null(label.take(pa.array(kept)), -1).to_numpy()
            differs = np.zeros(int(code.max()) + 1, dtype=bool)
            differs[code[returned != returned[first_rows(code, None)][code]]] = True
            conflict = differs[code]
            reason = f"column '{column}': conflicting label, rows with this key disagree"
            self.reject(self._mask(kept[conflict]), reason)
        self.reject(self._mask(kept[repeated]), repeated_key(column, what))

    def keep(self, table: pa.Table) -> pa.Table:
        """The rows of a table that are without a fault.

        Args:
            table: One row per row of the input.
        """
        kept = self._sieve.kept()
        return table if kept.all() else table.filter(pa.array(kept))

    def row_numbers(self) -> pa.Array:
        """1-based number in the input of each row, int64."""
        return pa.array(self._text.numbers)

    def rejects(self) -> pa.Table:
        """The rows set aside, in file order, with schema `data.schema.REJECTS`."""
        faulty = self._sieve.rejects()
        if not faulty.num_rows:
            return self._text.ragged
        position = faulty.schema.get_field_index("row")
        numbers = self.row_numbers().take(pc.subtract(faulty["row"], 1).combine_chunks())
        numbered = faulty.set_column(position, faulty.schema.field("row"), numbers)
        return pa.concat_tables([numbered, self._text.ragged]).sort_by("row")

    def counts(self) -> dict[str, int]:
        """How many values of the kept rows were made null, by column and why."""
        kept = self._sieve.kept()
        numbers = {name: int((rows & kept).sum()) for name, rows in self._nulled.items()}
        return {name: number for name, number in numbers.items() if number}

    def check_columns(self) -> None:
        """Refuse the input if a whole column could not be read.

        Raises:
            InputError: Carries a fault for each such column.
        """
        check_legible(self._text.file, self._columns, self.illegible - self.legible)

    def check_any_left(self) -> None:
        """Refuse the input if every row was set aside.

        Raises:
            InputError: Says why most of them were.
        """
        if not self._sieve.kept().any():
            reasons = Counter(self.rejects()["reason"].to_pylist()).most_common(MOST_REASONS_SHOWN)
            found = "; ".join(f"{number} times {reason}" for reason, number in reasons)
            message = f"every row was set aside: {found}"
            raise InputError([Fault(self._text.file, message, "Correct the mapping or the file")])

    def _parse(self, column: ColumnMapping) -> None:
        if column.source not in self._text.given.column_names:
            nulls = pa.nulls(len(self), column.type.arrow)
            self.values[column.source] = pa.chunked_array([nulls])
            return
        parsed = typed_column(self._text.given[column.source], column, self.table.nulls)
        if parsed is None:
            text = self._text.text(column.source)
            iso_days = column.source in self._text.days
            decimal = self.table.decimal if self._text.is_text(column.source) else "."
            parsed = parse_column(text, column, self.table.nulls, decimal, iso_days)
        self.values[column.source] = parsed.values
        is_label = column.source == self.table.returned
        reason = "label outside {0, 1}" if is_label else f"not {_wanted(column)}"
        self.reject(parsed.unreadable, f"column '{column.source}': {reason}")
        if parsed.values.null_count < len(self) or parsed.impossible.any():
            self.legible.add(column.source)
        if parsed.unreadable.any():
            self.illegible.add(column.source)
        self._count(f"placeholder_{column.name}", parsed.placeholder)
        self._count(f"impossible_{column.name}", parsed.impossible)

    def _compare_with_order(self, column: ColumnMapping, orders: pa.ChunkedArray) -> None:
        given = self.values[column.source]
        possible = within_years_before(given, orders, column.years_before_order)
        self.values[column.source] = possible
        self._count(f"impossible_{column.name}", unparsed(given, possible))

    def _count(self, name: str, rows: np.ndarray) -> None:
        if rows.any():
            self._nulled[name] = rows | self._nulled.get(name, False)

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self), dtype=bool)
        mask[rows] = True
        return mask


def repeated_key(column: str | None, what: str) -> str:
    """Why a row is set aside whose key an earlier row has; as of `ParsedRows.reject_repeated`."""
    return f"column '{column}': an earlier row has the same {what}"


def check_legible(file: str, columns: Sequence[ColumnMapping], illegible: set[str]) -> None:
    """Refuse an input of which a whole column could not be read.

    Args:
        file: Name of the input.
        columns: Its columns.
        illegible: Names of those of which no value could be read.

    Raises:
        InputError: Carries a fault for each such column.
    """
    remedy = "Correct the column's `type`, format or `values` in the mapping, or the file"
    faults = [
        Fault(file, f"not one of its values is {_wanted(each)}", remedy, column=each.source)
        for each in columns
        if each.source in illegible
    ]
    if faults:
        raise InputError(faults)


def _wanted(column: ColumnMapping) -> str:
    match column.type:
        case ColumnType.NUMBER:
            return "a number"
        case ColumnType.INTEGER:
            return "a whole number"
        case ColumnType.DATE:
            return f"a date of the format {column.date_format}"
        case ColumnType.FLAG:
            return "one of " + ", ".join(column.values)
        case ColumnType.CATEGORY:
            return "a text"
