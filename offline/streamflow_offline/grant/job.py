"""PostgreSQL's roles: one for the definitions, one for the jobs, one for the feature servers.

The definitions' role owns the tables, Feast's registry among them, and alone may create, change and drop any. Jobs
write rows. Feature servers read the registry.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import psycopg
from psycopg import sql
from streamflow_repo.settings.connections import REGISTRY_SCHEMA

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected
from streamflow_offline.tables import TABLES

_WITH_MAINTAIN = 170_000


class Role(StrEnum):
    """A role of PostgreSQL, by its name."""

    DEFINITIONS = "streamflow_definitions"
    """Owns schema `feast` and the tables of months; for `offline apply`."""

    JOBS = "streamflow_jobs"
    """Reads and writes the rows of both; for all other jobs."""

    READER = "streamflow_reader"
    """Reads the registry; for feature servers."""


def grant_roles(postgres_url: str, *, passwords: Mapping[Role, str] | None = None) -> None:
    """Create the roles that are missing, and give each what it needs and nothing else. Changes nothing the second time.

    `postgres_url` is of a superuser, and of the database whose tables the roles are for. Everybody loses the right to
    temporary tables in it. `passwords` are set where they are given. Raises JobError.
    """
    with connected(postgres_url) as connection:
        try:
            with connection.transaction():
                for role in Role:
                    _create(connection, role, (passwords or {}).get(role))
                for statement in _grants(connection):
                    connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            raise JobError(
                f"the roles can't be granted: {str(error).strip()}; let POSTGRES_URL name a superuser"
            ) from error


def _create(connection: psycopg.Connection, role: Role, password: str | None) -> None:
    # Roles are of the whole server, so that another database's grants may have created them.
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role.value,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    if password is not None:
        # What PostgreSQL keeps: it may log statements, and would log the password with them.
        kept = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(kept)))


def _grants(connection: psycopg.Connection) -> Iterator[sql.Composed]:
    rows = "SELECT, INSERT, UPDATE, DELETE"
    if connection.info.server_version >= _WITH_MAINTAIN:
        # For ANALYZE after a load.
        rows += ", MAINTAIN"
    names = {
        "database": sql.Identifier(connection.info.dbname),
        "registry": sql.Identifier(REGISTRY_SCHEMA),
        "definitions": sql.Identifier(Role.DEFINITIONS),
        "jobs": sql.Identifier(Role.JOBS),
        "reader": sql.Identifier(Role.READER),
        "rows": sql.SQL(rows),
    }
    statements = [
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {definitions}, {jobs}, {reader}",
        "GRANT TEMPORARY ON DATABASE {database} TO {definitions}, {jobs}",
        "CREATE SCHEMA IF NOT EXISTS {registry}",
        "ALTER SCHEMA {registry} OWNER TO {definitions}",
        "GRANT CREATE, USAGE ON SCHEMA public TO {definitions}",
        "GRANT USAGE ON SCHEMA public TO {jobs}",
        "GRANT USAGE ON SCHEMA {registry} TO {jobs}, {reader}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {definitions} IN SCHEMA public GRANT {rows} ON TABLES TO {jobs}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {definitions} IN SCHEMA {registry} GRANT {rows} ON TABLES TO {jobs}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {definitions} IN SCHEMA {registry} GRANT SELECT ON TABLES TO {reader}",
    ]
    yield from (sql.SQL(statement).format(**names) for statement in statements)
    for schema, table in _tables(connection):
        names["table"] = sql.Identifier(schema, table)
        yield sql.SQL("ALTER TABLE {table} OWNER TO {definitions}").format(**names)
        yield sql.SQL("GRANT {rows} ON {table} TO {jobs}").format(**names)
        if schema == REGISTRY_SCHEMA:
            yield sql.SQL("GRANT SELECT ON {table} TO {reader}").format(**names)


def _tables(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Schema and name of each table that is there already: those of the registry and of the months, no others."""
    of_months = [name for table in TABLES for name in (table.name, table.snapshot_name) if name]
    return connection.execute(
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname = %s OR schemaname = 'public' AND tablename = ANY(%s) ORDER BY 1, 2",
        (REGISTRY_SCHEMA, of_months),
    ).fetchall()
