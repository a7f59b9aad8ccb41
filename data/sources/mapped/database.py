"""The in-memory database that parses dates and hashes keys."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def cursor() -> "DuckDBPyConnection":
    """A cursor of its own on the process's one in-memory database; the caller closes it.

    Opening a database takes ten times longer than parsing a small table, and requests to score
    are small.
    """
    return _database().cursor()


@cache
def _database() -> "DuckDBPyConnection":
    # Imported where it is used: merely loaded, it complains of leaks when the process ends.
    import duckdb

    return duckdb.connect()
