"""The data under load: loaded as `make up` loads them, and read back to check every reply by."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from streamflow_offline.apply.job import apply_definitions
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_offline.tables import TABLES
from streamflow_repo import JOIN_KEY

from streamflow_loadtests.callers.calls import Values

_log = logging.getLogger(__name__)

FEATURE_SERVICE = "churn_v1"
"""The feature service that every arm is asked for."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What the stores hold."""

    references: Sequence[str]
    """The feature service's features, "feature_view:feature", in its order."""

    answers: Mapping[str, Values]
    """What a right reply holds, by user id."""


def load(
    *, months: Path | None, work: Path, postgres_url: str, redis_url: str, on_step: Callable[[str], None]
) -> Dataset:
    """Load month folders, generated ones unless `months` names some, into PostgreSQL; return what it then holds.

    Feature servers can be started after it, and answer once the features are materialized. The contract is written to
    `work`, as are generated months.
    """
    if months is None:
        on_step("generating two months of 7,043 users")
        months = work / "months"
        generate_months(months)
    on_step(f"loading {months}")
    ingest(months, postgres_url=postgres_url, on_progress=_log.debug)
    on_step("applying the feature definitions")
    contract = work / "contract.json"
    apply_definitions(postgres_url=postgres_url, redis_url=redis_url, on_output=_log.debug, contract_path=contract)
    return _read_back(postgres_url=postgres_url, contract=contract)


def _read_back(*, postgres_url: str, contract: Path) -> Dataset:
    """Return what PostgreSQL's newest snapshots hold of the users that every snapshot table knows."""
    services = json.loads(contract.read_text(encoding="utf-8"))["feature_services"]
    features = next(service["features"] for service in services if service["name"] == FEATURE_SERVICE)
    names = [feature["name"] for feature in features]
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(_newest(names)).fetchall()
    return Dataset(
        references=[f"{feature['view']}:{feature['name']}" for feature in features],
        answers={user_id: dict(zip(names, values, strict=True)) for user_id, *values in rows},
    )


def _newest(names: Sequence[str]) -> sql.Composed:
    """Return the query of each user's newest row of every snapshot table, joined, with the features as columns."""
    key = sql.Identifier(JOIN_KEY)
    tables = [
        sql.SQL(
            "(SELECT DISTINCT ON ({key}) * FROM {table} ORDER BY {key}, as_of DESC, ingested_at DESC) {alias}"
        ).format(key=key, table=sql.Identifier(table.snapshot_name), alias=sql.Identifier(table.name))
        for table in TABLES
        if table.snapshot_name and {column.name for column in table.snapshot_columns} & set(names)
    ]
    joined = tables[0]
    for table in tables[1:]:
        joined = sql.SQL("{} JOIN {} USING ({})").format(joined, table, key)
    columns = sql.SQL(", ").join(map(sql.Identifier, [JOIN_KEY, *names]))
    return sql.SQL("SELECT {} FROM {} ORDER BY {}").format(columns, joined, key)
