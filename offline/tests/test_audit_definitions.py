"""Definitions, registry and gateway: in what they differ is said, with where and what to do."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from feast import FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Int64
from streamflow_features import FeatureDescription, FeatureService
from streamflow_offline.audit.compare import Feature
from streamflow_offline.audit.definitions import (
    GATEWAY,
    REGISTRY,
    REPOSITORY,
    Version,
    compare_definitions,
    contract_differences,
    source_differences,
)
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import open_store
from streamflow_repo.contract import repo_contract
from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.services import churn_v1, engagement_v1
from streamflow_repo.definitions.views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv
from training_sets import UNUSED_REDIS_URL, apply_objects

_AGE = Feature(view="profile_fv", name="age", dtype="Int64", max_age_s=None)
_FEE = Feature(view="profile_fv", name="fee", dtype="Float64", max_age_s=None)


def _version(where: str, *features: Feature, contract_hash: str = "sha256:a", known: bool = True) -> Version:
    by_reference = {feature.reference: feature for feature in features}
    return Version(where=where, contract_hash=contract_hash, features=by_reference if known else None)


def _versions(**changed: Version) -> list[Version]:
    versions = {"repository": _version(REPOSITORY, _AGE, _FEE), "registry": _version(REGISTRY, _AGE, _FEE)}
    versions["gateway"] = _version(GATEWAY, _AGE, _FEE)
    return list({**versions, **changed}.values())


def test_versions_of_one_hash_do_not_differ() -> None:
    assert contract_differences(_versions(), "churn_v1") == []


@pytest.mark.parametrize(
    ("changed", "hashes", "told"),
    [
        (
            {"repository": _version(REPOSITORY, replace(_AGE, dtype="Int32"), _FEE, contract_hash="sha256:b")},
            (
                "sha256:b in the definitions, sha256:a in the registry and the gateway's contract: "
                "run `offline apply` with the definitions that are meant"
            ),
            ["profile_fv:age is Int32 in the definitions, Int64 in the registry and the gateway's contract"],
        ),
        (
            {"gateway": _version(GATEWAY, replace(_AGE, max_age_s=86400.0), contract_hash="sha256:b")},
            (
                "sha256:a in the definitions and the registry, sha256:b in the gateway's contract: "
                "give the gateway the contract.json that `offline apply` wrote"
            ),
            [
                (
                    "profile_fv:age is Int64 in the definitions and the registry, "
                    "Int64 of at most 86400 s in the gateway's contract"
                ),
                "profile_fv:fee is Float64 in the definitions and the registry, missing in the gateway's contract",
            ],
        ),
        (
            {"registry": _version(REGISTRY, contract_hash="sha256:b", known=False)},
            (
                "sha256:a in the definitions and the gateway's contract, sha256:b in the registry: "
                "run `offline apply` with the definitions that are meant"
            ),
            ["churn_v1 is missing in the registry"],
        ),
        (
            {"gateway": _version(GATEWAY, _FEE, _AGE, contract_hash="sha256:b")},
            (
                "sha256:a in the definitions and the registry, sha256:b in the gateway's contract: "
                "give the gateway the contract.json that `offline apply` wrote"
            ),
            ["churn_v1 has its features in another order in one of them"],
        ),
        (
            {"gateway": _version(GATEWAY, _AGE, _FEE, contract_hash="sha256:b")},
            (
                "sha256:a in the definitions and the registry, sha256:b in the gateway's contract: "
                "give the gateway the contract.json that `offline apply` wrote"
            ),
            ["they differ in something else than the features of churn_v1"],
        ),
    ],
    ids=["dtype", "maximum age and feature", "service", "order", "elsewhere"],
)
def test_what_differs_is_told_with_where(changed: dict[str, Version], hashes: str, told: list[str]) -> None:
    assert contract_differences(_versions(**changed), "churn_v1") == [hashes, *told]


def test_a_service_that_is_nowhere_is_refused() -> None:
    versions = [_version(where, known=False) for where in (REPOSITORY, REGISTRY, GATEWAY)]
    with pytest.raises(JobError, match="there is no feature service 'churn_v9'; name one"):
        contract_differences(versions, "churn_v9")


def test_a_view_that_is_applied_with_another_source_is_told() -> None:
    def view(**source: Any) -> FeatureView:
        return FeatureView(
            name="profile_fv",
            entities=[user],
            ttl=timedelta(0),
            schema=[Field(name="age", dtype=Int64)],
            source=PostgreSQLSource(**{"name": "s", "table": "snapshots", "timestamp_field": "as_of", **source}),
        )

    assert source_differences({"profile_fv": view()}, {"profile_fv": view()}) == []
    assert source_differences({"profile_fv": view(table="new"), "new_fv": view()}, {"profile_fv": view()}) == [
        'profile_fv has the table "new" in the definitions, "snapshots" in the registry: run `offline apply`'
    ]
    assert source_differences(
        {"profile_fv": view(timestamp_field="at", created_timestamp_column="seen")}, {"profile_fv": view()}
    ) == [
        "profile_fv has the timestamp field at in the definitions, as_of in the registry: run `offline apply`",
        "profile_fv has the created timestamp column seen in the definitions, - in the registry: run `offline apply`",
    ]


def _described(contract: dict[str, Any]) -> list[FeatureService]:
    """A contract as a gateway tells it."""
    return [
        FeatureService(
            service["name"],
            tuple(
                FeatureDescription(f["name"], f"{f['view']}:{f['name']}", f["dtype"], f["max_age_s"])
                for f in service["features"]
            ),
            contract["entities"][0]["join_key"],
            contract["hash"],
        )
        for service in contract["feature_services"]
    ]


def test_applied_definitions_and_a_gateway_of_the_same_do_not_differ(applied_url: str) -> None:
    contract = repo_contract()
    with open_store(postgres_url=applied_url, redis_url=UNUSED_REDIS_URL) as store:
        found = compare_definitions(store, _described(contract), "churn_v1")
    assert found.differences == []
    assert found.contracts == dict.fromkeys(("definitions", "registry", "gateway"), contract["hash"])
    assert [feature.reference for feature in found.features] == list(found.served)
    assert len(found.features) == 14


def test_a_definition_that_only_the_registry_has_is_told(applied_url: str) -> None:
    changed = deepcopy(support_agg_90d_fv)
    changed.ttl = timedelta(days=62)
    views = [payments_agg_90d_fv, subs_profile_fv, changed, usage_agg_30d_fv]
    apply_objects(applied_url, [user, *views, churn_v1, engagement_v1])
    with open_store(postgres_url=applied_url, redis_url=UNUSED_REDIS_URL) as store:
        found = compare_definitions(store, _described(repo_contract()), "churn_v1")
    assert found.differences[1:] == [
        (
            "support_agg_90d_fv:support_tickets_90d is Int64 in the definitions and the gateway's contract, "
            "Int64 of at most 5356800 s in the registry"
        ),
        (
            "support_agg_90d_fv:ticket_avg_resolution_hrs_90d is Float64 in the definitions and the gateway's "
            "contract, Float64 of at most 5356800 s in the registry"
        ),
    ]


def test_only_what_both_sides_have_is_compared(applied_url: str) -> None:
    contract = repo_contract()
    [service] = [entry for entry in contract["feature_services"] if entry["name"] == "churn_v1"]
    service["features"] = [*service["features"][:2][::-1], {**service["features"][0], "name": "unheard_of"}]
    with open_store(postgres_url=applied_url, redis_url=UNUSED_REDIS_URL) as store:
        found = compare_definitions(store, _described({**contract, "hash": "sha256:b"}), "churn_v1")
    assert [feature.name for feature in found.features] == ["months_active", "monthly_fee"]
    assert [reference.partition(":")[2] for reference in found.served] == ["monthly_fee", "months_active", "unheard_of"]
    assert any("unheard_of is missing in the definitions and the registry" in line for line in found.differences)
