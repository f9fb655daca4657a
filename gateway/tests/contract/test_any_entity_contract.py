"""A contract of any entities: its columns, its names, and what in it is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from any_entity import any_entity_content
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.content import ContractError
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from gateway_fakes import contract_content, loaded_contract
from streamflow.features.v1.error_reason_pb2 import ErrorReason


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return loaded_contract(tmp_path, any_entity_content())


_DRIVER = Column("driver_id", "Int64", None, ColumnKind.JOIN_KEY)
_SHOP = Column("shop_id", "Int32", None, ColumnKind.JOIN_KEY)


def test_the_columns_of_features_are_those_of_all_their_views_each_once(contract: Contract) -> None:
    assert contract.feature_set_of_references(["driver_fv:rating"]).columns == (_DRIVER,)
    assert contract.feature_set_of_references(["trip_fv:last", "trip_fv:trips"]).columns == (_DRIVER, _SHOP)
    mixed = contract.feature_set_of_references(["place_fv:visits", "trip_fv:trips", "driver_fv:rating"])
    assert [column.name for column in mixed.columns] == ["place_id", "driver_id", "shop_id"]


def test_the_columns_of_one_read_have_one_order_whatever_the_order_of_the_features(contract: Contract) -> None:
    references = ["place_fv:visits", "driver_fv:rating"]
    first, second = (contract.feature_set_of_references(order) for order in (references, references[::-1]))
    assert second.read_set is first
    assert second.columns == first.columns


def test_a_service_that_is_asked_for_by_name_has_its_own_names_and_join_keys(contract: Contract) -> None:
    stops = contract.feature_set_of_service("stops_v1")
    assert stops.feature_service == "stops_v1"
    assert [feature.name for feature in stops.features] == ["from__visits", "to__visits"]
    assert [column.name for column in stops.columns] == ["from_id", "to_id"]
    assert {column.pattern.pattern for column in stops.columns if column.pattern} == {"[a-z]+"}


def test_a_service_that_is_left_out_says_why(contract: Contract) -> None:
    with pytest.raises(GatewayError, match=r"'odd_v1'; the contract leaves it out: its view odd_fv has a Map; leave"):
        contract.feature_set_of_service("odd_v1")


def test_features_of_views_whose_join_keys_share_a_name_and_not_a_type_are_refused(tmp_path: Path) -> None:
    content = any_entity_content()
    content["entities"][1]["join_key"] = "driver_id"
    contract = loaded_contract(tmp_path, content)
    with pytest.raises(GatewayError, match="columns of different types that are named driver_id"):
        contract.feature_set_of_references(["driver_fv:rating", "place_fv:visits"])


def _service(name: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    def edit(content: dict[str, Any]) -> None:
        next(service for service in content["feature_services"] if service["name"] == name).update(changes)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["feature_views"][0].update(entities=["nobody"]), "has the entity nobody, which"),
        (lambda content: content["feature_views"][0].update(entities=["driver"] * 2), "two entities with one join key"),
        (lambda content: content["entities"].append(content["entities"][0]), "two of its definitions have one name"),
        (_service("trips_v1", join_keys=[]), "trips_v1 has other join keys than its feature views"),
        (_service("stops_v1", by_name=False), "stops_v1 has a view by another name, and is not asked for by name"),
        (_service("stops_v1", by_name="yes"), "'yes' is not true or false"),
        (_service("stops_v1", join_keys=[{"name": "id", "entity": "place"}] * 2), "stops_v1 has two columns of one"),
        (
            lambda content: content["feature_services"][0]["features"][0].update(dtype="Int64"),
            "driver_v1 has driver_fv:rating as Int64",
        ),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    content = any_entity_content()
    edit(content)
    with pytest.raises(ContractError, match=message):
        loaded_contract(tmp_path, content)


def test_the_default_is_the_only_service_that_needs_the_users_key_alone(contract: Contract, tmp_path: Path) -> None:
    def default(contract: Contract, user_entity: str) -> Any:
        return contract.default_feature_set(feature_service="", user_entity=user_entity)

    assert default(contract, "driver") is contract.services["driver_v1"]
    assert default(contract, "shop") is None
    assert default(contract, "user") is None
    assert default(loaded_contract(tmp_path, contract_content()), "user") is None


def test_a_view_without_an_entity_is_read_beside_others_and_never_alone(tmp_path: Path) -> None:
    content = any_entity_content()
    features = [{"name": "holiday", "dtype": "String"}]
    content["feature_views"].append({"name": "everywhere_fv", "entities": [], "max_age_s": None, "features": features})
    contract = loaded_contract(tmp_path, content)
    beside = contract.feature_set_of_references(["everywhere_fv:holiday", "driver_fv:rating"])
    assert beside.columns == (_DRIVER,)
    assert beside.references == ["everywhere_fv:holiday", "driver_fv:rating"]
    with pytest.raises(
        GatewayError, match="no key names a row; select a feature of a view with an entity too"
    ) as error:
        contract.feature_set_of_references(["everywhere_fv:holiday"])
    assert error.value.reason == ErrorReason.ERROR_REASON_ENTITY_KEY_MISSING
