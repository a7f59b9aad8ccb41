"""The in-memory database that parses dates and hashes keys."""

from functools import cache

import duckdb


def cursor() -> duckdb.DuckDBPyConnection:
    """A cursor of its own on the process's one in-memory database; the caller closes it.

    Opening a database takes ten times longer than parsing a small table, and requests to score
    are small.
    """
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()
