"""What a view's source table is like: whether probes find an index, whether rows can tie, which rows it has."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.view_sql import source_table, timestamp_field

if TYPE_CHECKING:
    from feast import FeatureView

# Views and foreign tables have no row versions.
_KINDS_WITH_ROW_VERSIONS = ("r", "m", "p")


@dataclass(frozen=True, kw_only=True)
class KeyIndexes:
    """What the indexes of a table say of a key and an event timestamp."""

    indexed: bool
    """Whether an index begins with them, so that a probe reads one row."""

    unique: bool
    """Whether no two rows have the same."""


def view_indexes(connection: psycopg.Connection, view: "FeatureView") -> KeyIndexes:
    """Return what the indexes of a view's source table say. Raises JobError for a table that is not there."""
    return key_indexes(connection, source_table(view), key_columns(view))


def key_columns(view: "FeatureView") -> list[str]:
    """Return the columns of a view's source that a probe looks rows up by, the event timestamp being the last."""
    return [*view.join_keys, timestamp_field(view)]


def key_indexes(connection: psycopg.Connection, table: sql.Identifier, columns: list[str]) -> KeyIndexes:
    """Return what the indexes of a table say of a key's columns, the event timestamp being the last of them."""
    # Only a whole index over plain columns says something of every row.
    indexes = connection.execute(
        "SELECT i.indisunique,"
        " array(SELECT a.attname::text FROM unnest(i.indkey[:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place)"
        " JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)"
        " FROM pg_index AS i WHERE i.indrelid = %s::regclass AND i.indisvalid AND i.indpred IS NULL"
        " AND i.indexprs IS NULL",
        (_existing(connection, table),),
    ).fetchall()
    width = len(columns)
    return KeyIndexes(
        indexed=any(
            set(names[: width - 1]) == set(columns[:-1]) and names[width - 1 : width] == columns[-1:]
            for _, names in indexes
        ),
        unique=any(unique and set(names) <= set(columns) for unique, names in indexes),
    )


def fingerprint(connection: psycopg.Connection, tables: Iterable[sql.Identifier]) -> dict[str, str]:
    """Return, by table, a value that changes with any change to its rows.

    It is over the rows' versions, which PostgreSQL renews with every write: a table written anew with the same values
    has another. A view's is over its rows.
    """
    found = {}
    for table in tables:
        name = _existing(connection, table)
        kind = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = %s::regclass", (name,)).fetchone()
        row = (
            "hashtidextended(t.ctid, t.xmin::text::bigint # t.tableoid::bigint)"
            if kind and kind[0] in _KINDS_WITH_ROW_VERSIONS
            else "hashtextextended(t::text, 0)"
        )
        query = sql.SQL("SELECT count(*), bit_xor({}) FROM {} AS t").format(sql.SQL(row), table)
        found[name] = ":".join(map(str, connection.execute(query).fetchone() or ()))
    return found


def _existing(connection: psycopg.Connection, table: sql.Identifier) -> str:
    name = table.as_string()
    if connection.execute("SELECT to_regclass(%s) IS NULL", (name,)).fetchone() == (True,):
        raise JobError(f"there is no table {name}; load months with `offline ingest`, or apply definitions that fit")
    return name
