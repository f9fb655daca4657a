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
from streamflow_offline.training_set.on_demand import OnDemandView, RequestField

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
    """The feature views that are read, ordered by name."""

    features: tuple[Feature, ...]
    """The features in the contract's order."""

    stored: tuple[Feature, ...]
    """The features that are read from the views: those of the service, then further inputs of on-demand views."""

    on_demand_views: tuple[OnDemandView, ...]
    """The service's on-demand views, ordered by name."""

    contract_hash: str
    """The hash of the definitions in the registry, which Feast reads by."""

    join_key: str

    @property
    def request(self) -> tuple[RequestField, ...]:
        """The request data that the on-demand views need, each once."""
        return tuple({field.name: field for view in self.on_demand_views for field in view.request}.values())

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
    used = {feature.view for feature in features}
    computed = [entry for entry in contract["on_demand_feature_views"] if entry["name"] in used]
    stored = _stored(contract, features, computed)
    return Definitions(
        store=store,
        service=services[service],
        views=[views[name] for name in sorted({feature.view for feature in stored})],
        features=features,
        stored=stored,
        on_demand_views=tuple(_on_demand_view(store, entry) for entry in computed),
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


def _stored(contract: Contract, features: Sequence[Feature], computed: Sequence[Contract]) -> tuple[Feature, ...]:
    dtypes = {(v["name"], f["name"]): f["dtype"] for v in contract["feature_views"] for f in v["features"]}
    asked = [(feature.view, feature.name) for feature in features if (feature.view, feature.name) in dtypes]
    needed = dict.fromkeys([*asked, *((i["view"], i["name"]) for entry in computed for i in entry["inputs"])])
    names = [name for _, name in needed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise JobError(f"two feature views have a feature {twice[0]}, and both are read; rename one of them")
    return tuple(Feature(view=view, name=name, dtype=dtypes[view, name]) for view, name in needed)


def _on_demand_view(store: FeatureStore, entry: Contract) -> OnDemandView:
    return OnDemandView(
        applied=store.get_on_demand_feature_view(entry["name"]),
        row_by_row=entry["row_by_row"],
        inputs=tuple(said["name"] for said in entry["inputs"]),
        request=tuple(RequestField(name=said["name"], dtype=said["dtype"]) for said in entry["request"]),
    )


def _contract(store: FeatureStore) -> Contract:
    try:
        return applied_contract(store)
    except ContractError as error:
        raise JobError(
            f"the applied definitions have no contract: {error}; correct them and run `offline apply`"
        ) from error
