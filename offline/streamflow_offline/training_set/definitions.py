"""An applied feature service, read from the registry, and Feast's SQL for its features."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from feast import FeatureService, FeatureStore, FeatureView
from feast_contract import Contract, ContractError
from sqlalchemy.exc import SQLAlchemyError
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.settings.connections import REGISTRY_SCHEMA

from streamflow_offline.applied_contract import applied_contract
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import open_store

_NOTHING_APPLIED = "nothing is applied in this database; run `offline apply` first"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature of the contract."""

    view: str
    name: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """A feature service with everything that its training set depends on."""

    store: FeatureStore
    service: FeatureService

    views: Sequence[FeatureView]
    """The service's feature views, ordered by name."""

    features: tuple[Feature, ...]
    """The features in the contract's order."""

    contract_hash: str
    """The hash of the definitions in the registry, which Feast reads by."""

    join_key: str

    def point_in_time_sql(self, entity_query: str) -> str:
        """Return Feast's SQL for all columns of the entity query's rows, each row once, with the service's features.

        Raises JobError when Feast refuses.
        """
        try:
            with warnings.catch_warnings():
                # Feast reads the registry and may warn that definitions there are deprecated.
                warnings.simplefilter("ignore")
                job = self.store.get_historical_features(entity_df=entity_query, features=self.service)
                return str(job.to_sql())
        except Exception as error:
            raise JobError(f"Feast refuses {self.service.name}: {type(error).__name__}: {error}") from error


@contextmanager
def opened(connection: psycopg.Connection, *, postgres_url: str, redis_url: str) -> Iterator[FeatureStore]:
    """Yield Feast's store. Raises JobError when nothing is applied, and when the registry can't be read."""
    if connection.execute("SELECT to_regnamespace(%s) IS NULL", (REGISTRY_SCHEMA,)).fetchone() == (True,):
        raise JobError(_NOTHING_APPLIED)
    try:
        with open_store(postgres_url=postgres_url, redis_url=redis_url) as store:
            yield store
    except SQLAlchemyError as error:
        raise JobError(
            f"Feast's registry, schema {REGISTRY_SCHEMA}, can't be read: {' '.join(str(error).split())}"
        ) from error


def load_definitions(store: FeatureStore, service: str) -> Definitions:
    """Return an applied feature service. Raises JobError when it is not applied or can't be served."""
    services = {str(applied.name): applied for applied in store.list_feature_services()}
    if not services:
        raise JobError(_NOTHING_APPLIED)
    if service not in services:
        raise JobError(f"there is no feature service {service!r}; applied are {', '.join(sorted(services))}")
    views = {str(view.name): view for view in store.list_feature_views()}
    if not views:
        raise JobError("no feature view is applied in this database; run `offline apply` first")
    contract = _contract(store)
    [entry] = [entry for entry in contract["feature_services"] if entry["name"] == service]
    if len(entry["join_keys"]) != 1:
        raise JobError(
            f"the feature service {service} has the join keys {', '.join(key['name'] for key in entry['join_keys'])}; "
            "a training set is of a service with one"
        )
    features = tuple(Feature(view=f["view"], name=f["name"], dtype=f["dtype"]) for f in entry["features"])
    return Definitions(
        store=store,
        service=services[service],
        views=[views[name] for name in sorted({feature.view for feature in features})],
        features=features,
        contract_hash=contract["hash"],
        join_key=entry["join_keys"][0]["name"],
    )


def committed_hash() -> str | None:
    """Return the hash of contract.json, or None without a contract."""
    try:
        return str(json.loads(CONTRACT_PATH.read_text(encoding="utf-8"))["hash"])
    except (OSError, ValueError, KeyError):
        return None


def use_offline_store(store: FeatureStore, store_type: str, **settings: Any) -> None:
    """Make Feast read historical features through another offline store. Call this before the first read."""
    store.config.offline_config = {**store.config.offline_config, "type": store_type, **settings}


def _contract(store: FeatureStore) -> Contract:
    try:
        return applied_contract(store)
    except ContractError as error:
        raise JobError(
            f"the applied definitions have no contract: {error}; correct them and run `offline apply`"
        ) from error
