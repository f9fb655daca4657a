"""SQL that others wrote, as a part of ours."""

from psycopg import sql


def verbatim(query: str) -> sql.SQL:
    """Return Feast's or the caller's SQL as it stands, braces and percent signs included."""
    return sql.SQL(query)
