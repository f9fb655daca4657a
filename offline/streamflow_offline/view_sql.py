"""A feature view's source in PostgreSQL, as SQL."""

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from feast import FeatureView


def source_table(view: "FeatureView") -> sql.Identifier:
    """Return the table that a view is read from."""
    return sql.Identifier(*view.batch_source.get_table_query_string().replace('"', "").split("."))


def event_timestamp_utc(view: "FeatureView") -> sql.Composed:
    """Return the SQL of a row's event timestamp; a DATE is its midnight in UTC, as Feast reads it."""
    return sql.SQL("({}::timestamp AT TIME ZONE 'UTC')").format(sql.Identifier(view.batch_source.timestamp_field))
