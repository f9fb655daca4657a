"""Definitions that one `feast apply` can't leave in a registry, and several can."""

from dataclasses import replace
from typing import Any

import pytest
from feast_contract import Contract, ContractError, build_contract
from feast_contract.definitions import Definitions, Entity, Field, OnDemandView, Projection, Service, View

_DRIVER = Entity(name="driver", join_key="driver_id", dtype="Int64", pattern=None)
_VIEW = View(
    name="v",
    entities=("driver",),
    key_dtypes={"driver_id": "Int64"},
    features=(Field("x", "Int64"),),
    max_age_s=None,
    online=True,
    enabled=True,
    has_labels=False,
)
_TAKEN = Projection(view="v", alias="v", join_key_map={}, features=("x",), version=None)
_SERVICE = Service(name="s", projections=(_TAKEN,))
_REQUEST = OnDemandView(
    name="o",
    mode="python",
    singleton=False,
    row_by_row=False,
    sources=(),
    request=(Field("amount", "Float64"),),
    features=(Field("y", "Int64"),),
    enabled=True,
    stored=False,
    aggregates=False,
)


def _built(**changes: Any) -> Contract:
    given: dict[str, Any] = {"entities": [_DRIVER], "views": [_VIEW], "on_demand_views": [], "services": [_SERVICE]}
    return build_contract(Definitions(project="p", **{**given, **changes}))


def _why(contract: Contract, name: str) -> str:
    (why,) = [str(entry["why"]) for entry in contract["left_out"] if entry["name"] == name]
    return why


def test_the_order_of_definitions_does_not_matter() -> None:
    views = [_VIEW, replace(_VIEW, name="w")]
    services = [_SERVICE, replace(_SERVICE, name="t")]
    assert _built(views=views, services=services) == _built(views=views[::-1], services=services[::-1])


def test_a_view_that_encodes_its_join_key_unlike_the_others_is_left_out() -> None:
    narrow = replace(_VIEW, name="narrow", key_dtypes={"driver_id": "Int32"})
    contract = _built(views=[_VIEW, narrow])
    assert [view["name"] for view in contract["feature_views"]] == ["v"]
    assert _why(contract, "narrow").startswith("its join key driver_id is Int32, and the entity driver is Int64: ")


def test_an_entity_follows_its_views_where_they_agree() -> None:
    contract = _built(views=[replace(_VIEW, key_dtypes={"driver_id": "Int32"})])
    assert contract["entities"][0]["dtype"] == "Int32"
    assert contract["left_out"] == []


def test_a_view_without_a_type_for_its_join_key_has_that_of_its_entity() -> None:
    assert _built(views=[replace(_VIEW, key_dtypes={})])["entities"][0]["dtype"] == "Int64"


def test_what_is_not_applied_any_more_is_said_to_be_so() -> None:
    assert _why(_built(entities=[]), "v") == "its entity driver is not applied; apply it"
    assert _why(_built(views=[]), "s") == "its view v is not applied; apply it"
    gone = replace(_SERVICE, projections=(replace(_TAKEN, features=("gone",)),))
    assert _why(_built(services=[gone]), "s") == "its feature v:gone is not applied; apply the definitions again"
    lost = replace(_REQUEST, sources=(replace(_TAKEN, view="lost", alias="lost"),))
    assert _why(_built(on_demand_views=[lost]), "o") == "its source lost is not an applied feature view; apply it"


def test_a_service_that_pins_a_version_is_left_out() -> None:
    pinned = replace(_SERVICE, projections=(replace(_TAKEN, version=2),))
    assert _why(_built(services=[pinned]), "s") == "it pins version 2 of v; take the view without one"


def test_a_service_without_features_is_left_out() -> None:
    assert _why(_built(services=[replace(_SERVICE, projections=())]), "s") == "it has no features; give it some"


def test_a_service_whose_join_key_has_two_types_is_left_out() -> None:
    rider = Entity(name="rider", join_key="driver_id", dtype="String", pattern=None)
    view = replace(_VIEW, name="w", entities=("rider",), key_dtypes={"driver_id": "String"})
    service = replace(_SERVICE, projections=(_TAKEN, replace(_TAKEN, view="w", alias="w")))
    contract = _built(entities=[_DRIVER, rider], views=[_VIEW, view], services=[service])
    assert _why(contract, "s").startswith("its join key driver_id is Int64 for the entity driver and String for ")


def test_a_service_whose_request_data_has_two_types_is_left_out() -> None:
    other = replace(_REQUEST, name="other", request=(Field("amount", "Int64"),))
    taken = [replace(_TAKEN, view=name, alias=name, features=("y",)) for name in ("o", "other")]
    contract = _built(on_demand_views=[_REQUEST, other], services=[replace(_SERVICE, projections=tuple(taken))])
    assert "request data amount of two types, Float64 and Int64" in _why(contract, "s")


def test_an_on_demand_view_whose_request_data_is_named_as_a_join_key_of_its_source_is_left_out() -> None:
    clashing = replace(_REQUEST, sources=(_TAKEN,), request=(Field("driver_id", "Int64"),))
    why = _why(_built(on_demand_views=[clashing]), "o")
    assert why == "its request data driver_id has the name of a join key; rename the request data"


def test_an_on_demand_view_whose_sources_have_a_join_key_of_two_types_is_left_out() -> None:
    rider = Entity(name="rider", join_key="driver_id", dtype="String", pattern=None)
    view = replace(_VIEW, name="w", entities=("rider",), key_dtypes={"driver_id": "String"})
    reading = replace(_REQUEST, sources=(_TAKEN, replace(_TAKEN, view="w", alias="w")))
    contract = _built(entities=[_DRIVER, rider], views=[_VIEW, view], on_demand_views=[reading])
    assert _why(contract, "o").startswith("the join key driver_id of its sources is Int64 for the entity driver and ")


@pytest.mark.parametrize(("dtype", "served"), [("List(Float32)", True), ("Bytes", False), ("List(Bytes)", False)])
def test_request_data_is_of_a_type_that_a_requests_json_has(dtype: str, *, served: bool) -> None:
    contract = _built(on_demand_views=[replace(_REQUEST, request=(Field("vector", dtype),))])
    assert (contract["left_out"] == []) == served


def test_a_service_may_have_an_alias_of_a_view_that_an_on_demand_view_reads_too() -> None:
    reading = replace(_REQUEST, sources=(_TAKEN,))
    projections = (replace(_TAKEN, alias="renamed"), replace(_TAKEN, view="o", alias="o", features=("y",)))
    contract = _built(on_demand_views=[reading], services=[replace(_SERVICE, projections=projections)])
    assert contract["left_out"] == []
    assert contract["feature_services"][0]["by_name"]


def test_a_strict_build_names_all_that_would_be_left_out() -> None:
    definitions = Definitions(
        project="p",
        entities=[_DRIVER],
        views=[replace(_VIEW, online=False)],
        on_demand_views=[],
        services=[_SERVICE],
    )
    with pytest.raises(ContractError, match="service s: its view v is left out; feature view v: it is not online"):
        build_contract(definitions, strict=True)
