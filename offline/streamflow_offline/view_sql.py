"""A feature view's source in PostgreSQL, as SQL."""

from typing import TYPE_CHECKING

from psycopg import sql

from streamflow_offline.errors import JobError

if TYPE_CHECKING:
    from feast import FeatureView
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource


def source_table(view: "FeatureView") -> sql.Identifier:
    """Return the table that a view is read from. Raises JobError for a source that is no PostgreSQL table."""
    name = _source(view).get_table_query_string()
    if name.startswith("("):
        raise JobError(f"{view.name} is read from a query; give its source a table")
    return sql.Identifier(*name.replace('"', "").split("."))


def event_timestamp_utc(view: "FeatureView") -> sql.Composed:
    """Return the SQL of a row's event timestamp; a DATE is its midnight in UTC, as Feast reads it."""
    return sql.SQL("({}::timestamp AT TIME ZONE 'UTC')").format(sql.Identifier(_source(view).timestamp_field))


def timestamp_field(view: "FeatureView") -> str:
    """Return the column with a row's event timestamp."""
    return str(_source(view).timestamp_field)


def created_timestamp_field(view: "FeatureView") -> str | None:
    """Return the column with the time that a row was written; None where the source has none."""
    return _source(view).created_timestamp_column or None


def field_mapping(view: "FeatureView") -> dict[str, str]:
    """Return the features that have another name than their column, by the column's."""
    return dict(_source(view).field_mapping or {})


def _source(view: "FeatureView") -> "PostgreSQLSource":
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (  # noqa: PLC0415
        PostgreSQLSource,
    )

    if not isinstance(view.batch_source, PostgreSQLSource):
        raise JobError(
            f"{view.name} is not applied with a PostgreSQL table as its source; run `offline apply` with "
            "FEAST_OFFLINE_STORE=postgres"
        )
    return view.batch_source
