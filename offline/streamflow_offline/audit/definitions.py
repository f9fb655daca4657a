"""Compares the definitions of the repository, of the registry and of the gateway's contract."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamflow_offline.audit.compare import Feature
from streamflow_offline.errors import JobError
from streamflow_offline.view_sql import created_timestamp_field, field_mapping, source_table, timestamp_field

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from streamflow_features import FeatureService

REPOSITORY, REGISTRY, GATEWAY = "the definitions", "the registry", "the gateway's contract"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A feature service in one of the three places."""

    where: str

    contract_hash: str | None
    """None if the gateway has no feature service."""

    features: Mapping[str, Feature] | None
    """The features by reference, in the service's order; None if the service is missing."""

    @property
    def references(self) -> tuple[str, ...]:
        """The service's feature references."""
        return tuple(self.features or ())


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Which features of a service can be compared, and how the definitions differ."""

    contracts: Mapping[str, str | None]
    """The contract hash of "definitions", "registry" and "gateway"."""

    differences: Sequence[str]
    """A line for each difference."""

    features: tuple[Feature, ...]
    """The features that both sides can read, as applied."""

    served: tuple[str, ...]
    """The gateway's feature references, in its order."""

    gateway_hash: str

    gateway_request: Mapping[str, str]
    """The types of the request data that the gateway needs for the service, by name."""


def compare_definitions(store: "FeatureStore", described: Iterable["FeatureService"], service: str) -> Definitions:
    """Compare the repository's definitions, the applied definitions, and the gateway's contract.

    Raises JobError when nothing is applied, when the definitions have no contract, and when none of the three has the
    feature service.
    """
    # Importing Feast takes seconds.
    from feast_contract import ContractError  # noqa: PLC0415
    from streamflow_repo.contract import repo_contract, repo_views  # noqa: PLC0415

    from streamflow_offline.applied_contract import applied_contract  # noqa: PLC0415

    views = {str(view.name): view for view in store.list_feature_views()}
    if not views:
        raise JobError("nothing is applied in this database; run `offline apply` first")
    try:
        repository = _of_contract(REPOSITORY, repo_contract(), service)
        registry = _of_contract(REGISTRY, applied_contract(store), service)
    except ContractError as error:
        raise JobError(f"definitions have no contract: {error}; mend them and run `offline apply`") from error
    described = list(described)
    gateway = _of_gateway(described, service)
    versions = [repository, registry, gateway]
    read = {feature.view for feature in (registry.features or {}).values()}
    defined = {name: view for name, view in repo_views().items() if name in read}
    return Definitions(
        contracts=dict(
            zip(("definitions", "registry", "gateway"), (version.contract_hash for version in versions), strict=True)
        ),
        differences=[*contract_differences(versions, service), *source_differences(defined, views)],
        features=tuple(
            feature for ref, feature in (registry.features or {}).items() if ref in (gateway.features or {})
        ),
        served=gateway.references,
        gateway_hash=str(gateway.contract_hash),
        gateway_request={
            data.name: data.dtype for entry in described if entry.name == service for data in entry.request_data
        },
    )


def contract_differences(versions: Sequence[Version], service: str) -> list[str]:
    """Return how the versions differ, feature by feature, and what to do.

    Raises JobError when no version has the feature service.
    """
    if all(version.features is None for version in versions):
        raise JobError(f"there is no feature service {service!r}; name one of the definitions with --feature-service")
    if len({version.contract_hash for version in versions}) == 1:
        return []
    found = []
    absent = [version.where for version in versions if version.features is None]
    if absent:
        found.append(f"{service} is missing in {_listed(absent)}")
    present = [version for version in versions if version.features is not None]
    for reference in dict.fromkeys(ref for version in present for ref in version.references):
        said = {version.where: _said(version, reference) for version in present}
        if len(set(said.values())) > 1:
            found.append(f"{reference} is {_told_apart(said)}")
    if not absent and len({version.references for version in versions}) > 1 and not found:
        found.append(f"{service} has its features in another order in one of them")
    if not found:
        found.append(f"they differ in something else than the features of {service}")
    return [f"{_told_apart({v.where: str(v.contract_hash) for v in versions})}: {_advice(versions)}", *found]


def source_differences(defined: Mapping[str, "FeatureView"], applied: Mapping[str, "FeatureView"]) -> list[str]:
    """Return which views are applied with another source than defined; a contract does not contain sources."""
    found = []
    for name in sorted(defined.keys() & applied.keys()):
        ours, theirs = _source(defined[name]), _source(applied[name])
        found += [
            f"{name} has the {what} {ours[what]} in {REPOSITORY}, {theirs[what]} in {REGISTRY}: run `offline apply`"
            for what in ours
            if ours[what] != theirs[what]
        ]
    return found


def _of_gateway(described: Iterable["FeatureService"], service: str) -> Version:
    by_name = {entry.name: entry for entry in described}
    features = None
    if service in by_name:
        features = {
            f"{view}:{name}": Feature(view=view, name=name, dtype=feature.dtype, max_age_s=feature.max_age_s)
            for feature in by_name[service].features
            for view, _, name in [feature.feature_reference.partition(":")]
        }
    return Version(
        where=GATEWAY,
        contract_hash=next((entry.contract_hash for entry in by_name.values()), None),
        features=features,
    )


def _of_contract(where: str, contract: Mapping[str, Any], service: str) -> Version:
    features = None
    for entry in contract["feature_services"]:
        if entry["name"] == service:
            found = [
                Feature(view=said["view"], name=said["name"], dtype=said["dtype"], max_age_s=said["max_age_s"])
                for said in entry["features"]
            ]
            features = {feature.reference: feature for feature in found}
    return Version(where=where, contract_hash=str(contract["hash"]), features=features)


def _said(version: Version, reference: str) -> str:
    feature = (version.features or {}).get(reference)
    if feature is None:
        return "missing"
    return feature.dtype if feature.max_age_s is None else f"{feature.dtype} of at most {feature.max_age_s:.15g} s"


def _told_apart(said: Mapping[str, str]) -> str:
    """Return what each place says, with the places together that say the same."""
    groups: dict[str, list[str]] = {}
    for where, what in said.items():
        groups.setdefault(what, []).append(where)
    return ", ".join(f"{what} in {_listed(wheres)}" for what, wheres in groups.items())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _advice(versions: Sequence[Version]) -> str:
    hashes = {version.where: version.contract_hash for version in versions}
    if hashes[REPOSITORY] != hashes[REGISTRY]:
        return "run `offline apply` with the definitions that are meant"
    return "give the gateway the contract.json that `offline apply` wrote"


def _source(view: "FeatureView") -> dict[str, str]:
    return {
        "table": source_table(view).as_string(),
        "timestamp field": timestamp_field(view),
        "created timestamp column": created_timestamp_field(view) or "-",
        "field mapping": str(field_mapping(view)),
    }
