"""The contract of a repository that has a definition of every kind, read from the registry that `feast apply` wrote."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from feast_contract import build_contract, contract_hash, write_contract
from feast_contract.registry import read_definitions
from feature_gateway.contract.file import load_contract
from streamflow_features._command.main import main

_SCALARS = ("Bool", "Int32", "Int64", "Float32", "Float64", "String", "Bytes", "UnixTimestamp")


@pytest.fixture(scope="module")
def contract(trial_repo: Path) -> dict[str, Any]:
    return build_contract(read_definitions(trial_repo))


def _named(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: {key: value for key, value in entry.items() if key != "name"} for entry in entries}


def test_it_is_of_version_2_with_a_hash_over_the_rest(contract: dict[str, Any]) -> None:
    assert [*contract] == [
        *("version", "project", "entities", "feature_views", "on_demand_feature_views", "feature_services"),
        *("descriptions", "left_out", "hash"),
    ]
    assert (contract["version"], contract["project"]) == (2, "trial")
    assert contract["hash"] == contract_hash(contract)
    assert contract_hash({**contract, "left_out": []}) != contract["hash"]


def test_descriptions_owners_and_tags_are_those_of_what_is_served(contract: dict[str, Any]) -> None:
    assert contract["descriptions"] == {
        "entities": {"shop": "Where riders stop."},
        "feature_services": {"request_v1": "Request data alone."},
        "feature_views": {"inferred_fv": "What riders did.", "request_odfv": "One more."},
        "features": {"inferred_fv:trips": "Trips in all."},
        "request_data": {"python_odfv:boost": "How much.", "request_odfv:boost": "How much."},
        "owners": {"feature_service request_v1": "team-requests", "feature_view inferred_fv": "team-riders"},
        "tags": {
            "entity shop": {"pattern": "^[a-z]+$"},
            "feature inferred_fv:trips": {"unit": "trips"},
            "feature_view inferred_fv": {"area": "riding", "stage": "trial"},
            "feature_view python_odfv": {"row_by_row": "true"},
        },
    }


def test_a_description_written_anew_leaves_the_hash_as_it_is(contract: dict[str, Any], tmp_path: Path) -> None:
    edited = {**contract, "descriptions": {"features": {"inferred_fv:trips": "Another text."}}}
    assert contract_hash(edited) == contract["hash"]
    write_contract(edited, tmp_path / "contract.json")
    assert load_contract(tmp_path / "contract.json").hash == contract["hash"]


def test_the_client_writes_typed_features_of_it(contract: dict[str, Any], tmp_path: Path) -> None:
    write_contract(contract, tmp_path / "contract.json")
    assert main(["codegen", str(tmp_path / "contract.json"), "--out", str(tmp_path / "typed.py")]) == 0
    module = runpy.run_path(str(tmp_path / "typed.py"))
    classes = [name for name, found in module.items() if isinstance(found, type) and name.endswith("V1")]
    assert classes == ["AliasV1", "BesideV1", "RequestV1"]
    assert module["RequestV1"].given(boost=2).options() == {
        "feature_service": "request_v1",
        "contract_hash": contract["hash"],
        "request_data": {"boost": 2},
    }


def test_all_definitions_are_sorted_by_name(contract: dict[str, Any]) -> None:
    for section in ("entities", "feature_views", "on_demand_feature_views", "feature_services"):
        names = [entry["name"] for entry in contract[section]]
        assert names == sorted(names)


def test_an_entity_has_the_type_that_feast_encodes_its_join_key_by(contract: dict[str, Any]) -> None:
    assert _named(contract["entities"]) == {
        "city": {"join_key": "city_code", "dtype": "Int32", "pattern": None},
        "driver": {"join_key": "driver_id", "dtype": "Int64", "pattern": None},
        # Its Entity has no value_type: Feast took it from the source.
        "rider": {"join_key": "rider_id", "dtype": "Int64", "pattern": None},
        "shop": {"join_key": "shop_id", "dtype": "String", "pattern": "^[a-z]+$"},
    }


def test_a_view_has_its_entities_and_features_in_definition_order(contract: dict[str, Any]) -> None:
    views = _named(contract["feature_views"])
    assert [*views] == [
        "composite_fv",
        "entityless_fv",
        "inferred_fv",
        "lists_fv",
        "partly_fv",
        "scalars_fv",
        "stream_fv",
    ]
    assert views["composite_fv"] == {
        "entities": ["shop", "driver", "city"],
        "max_age_s": None,
        "features": [{"name": "sales", "dtype": "Int64"}],
    }
    assert views["scalars_fv"]["features"] == [{"name": f"a_{name.lower()}", "dtype": name} for name in _SCALARS]
    assert views["lists_fv"]["features"] == [
        {"name": f"some_{name.lower()}", "dtype": f"List({name})"} for name in _SCALARS
    ]
    assert views["partly_fv"]["features"] == [{"name": "served", "dtype": "Int64"}]


def test_a_views_ttl_is_its_maximum_age_and_a_ttl_of_zero_is_none(contract: dict[str, Any]) -> None:
    ages = {view["name"]: view["max_age_s"] for view in contract["feature_views"]}
    assert (ages["scalars_fv"], ages["lists_fv"], ages["composite_fv"]) == (86401.0, None, None)


def test_a_stream_view_is_a_view_whose_join_key_is_no_feature(contract: dict[str, Any]) -> None:
    assert _named(contract["feature_views"])["stream_fv"] == {
        "entities": ["driver"],
        "max_age_s": 3600.0,
        "features": [{"name": "speed", "dtype": "Float64"}],
    }


def test_an_on_demand_view_has_its_mode_inputs_and_request_data(contract: dict[str, Any]) -> None:
    views = _named(contract["on_demand_feature_views"])
    assert [*views] == ["clashing_odfv", "pandas_odfv", "python_odfv", "request_odfv", "singleton_odfv"]
    assert views["python_odfv"] == {
        "mode": "python",
        "singleton": False,
        "row_by_row": True,
        "inputs": [{"view": "scalars_fv", "name": "a_float64"}, {"view": "scalars_fv", "name": "a_int64"}],
        "request": [
            {"name": "boost", "dtype": "Int64"},
            {"name": "minutes", "dtype": "Float64"},
            {"name": "device", "dtype": "String"},
        ],
        "features": [{"name": "ratio", "dtype": "Float64"}, {"name": "parts", "dtype": "List(Float64)"}],
    }
    assert views["singleton_odfv"] == {
        "mode": "python",
        "singleton": True,
        "row_by_row": False,
        "inputs": [{"view": "composite_fv", "name": "sales"}],
        "request": [],
        "features": [{"name": "double", "dtype": "Int64"}],
    }
    assert (views["pandas_odfv"]["mode"], views["pandas_odfv"]["row_by_row"]) == ("pandas", False)
    # Of a source it has the inputs that can be read: the gateway judges the view's outputs by any of them.
    assert {"view": "partly_fv", "name": "served"} in views["pandas_odfv"]["inputs"]
    assert {"view": "partly_fv", "name": "a_map"} not in views["pandas_odfv"]["inputs"]
    assert views["request_odfv"]["inputs"] == []


def test_a_service_has_its_features_in_order_and_the_join_keys_of_all_its_views(contract: dict[str, Any]) -> None:
    services = _named(contract["feature_services"])
    assert services["plain_v1"] == {
        "by_name": False,
        "join_keys": [{"name": "driver_id", "entity": "driver"}, {"name": "rider_id", "entity": "rider"}],
        "features": [
            {"view": "scalars_fv", "as": "scalars_fv", "name": "a_string", "dtype": "String", "max_age_s": 86401.0},
            {"view": "scalars_fv", "as": "scalars_fv", "name": "a_bool", "dtype": "Bool", "max_age_s": 86401.0},
            {"view": "stream_fv", "as": "stream_fv", "name": "speed", "dtype": "Float64", "max_age_s": 3600.0},
            {"view": "inferred_fv", "as": "inferred_fv", "name": "trips", "dtype": "Int64", "max_age_s": None},
        ],
    }
    assert [key["name"] for key in services["composite_v1"]["join_keys"]] == ["shop_id", "driver_id", "city_code"]


def test_a_service_of_on_demand_views_has_the_join_keys_of_their_inputs(contract: dict[str, Any]) -> None:
    services = _named(contract["feature_services"])
    on_demand = services["on_demand_v1"]
    assert [(feature["view"], feature["name"]) for feature in on_demand["features"]] == [
        *(("python_odfv", "ratio"), ("pandas_odfv", "out"), ("scalars_fv", "a_int64"), ("singleton_odfv", "double")),
    ]
    assert {feature["view"]: feature["max_age_s"] for feature in on_demand["features"]} == {
        "python_odfv": None,
        "pandas_odfv": None,
        "scalars_fv": 86401.0,
        "singleton_odfv": None,
    }
    assert [key["name"] for key in on_demand["join_keys"]] == ["driver_id", "shop_id", "city_code"]
    assert (services["request_v1"]["join_keys"], services["request_v1"]["by_name"]) == ([], False)


def test_a_service_with_an_alias_or_a_join_key_map_is_asked_for_by_its_name(contract: dict[str, Any]) -> None:
    services = _named(contract["feature_services"])
    assert {name for name, service in services.items() if service["by_name"]} == {"alias_v1", "mapped_v1"}
    assert [feature["as"] for feature in services["alias_v1"]["features"]] == ["renamed"]
    mapped = services["mapped_v1"]
    assert [(feature["as"], feature["view"]) for feature in mapped["features"]] == [
        *(("other", "scalars_fv"), ("own", "scalars_fv"), ("composite_fv", "composite_fv")),
    ]
    # Mapped columns stand at the end: of two columns that Feast takes for one join key, the last wins.
    assert [(key["name"], key["entity"]) for key in mapped["join_keys"]] == [
        *(("driver_id", "driver"), ("shop_id", "shop"), ("city_code", "city")),
        *(("other_id", "driver"), ("courier_id", "driver")),
    ]


def test_a_view_without_an_entity_is_in_a_service_beside_others(contract: dict[str, Any]) -> None:
    assert _named(contract["feature_views"])["entityless_fv"]["entities"] == []
    beside = _named(contract["feature_services"])["beside_v1"]
    assert [feature["view"] for feature in beside["features"]] == ["entityless_fv", "scalars_fv"]
    assert [key["name"] for key in beside["join_keys"]] == ["driver_id"]


_LEFT_OUT = {
    "entity flag": "its join key flag is Bool; the gateway takes String, Int32 and Int64 join keys",
    "entity puzzle": "its tag `pattern` is not a regular expression",
    "entity unused": "no feature view says the type of its join key unused_id; give the Entity a value_type",
    "entity zone": "its join key zone_id is Int32 in zone_fv, Int64 in zone_of_64_bits_fv; give the Entity a",
    "feature partly_fv:a_map": "it is Map; the gateway serves Bool, Int32,",
    "feature partly_fv:a_set": "it is Set(Int64); the gateway serves",
    "feature partly_fv:nested": "it is List(List(Int64)); the gateway serves",
    "feature unserved_fv:a_json": "it is Json",
    "feature unserved_fv:a_struct": "it is Struct",
    "feature_view disabled_fv": "it is disabled; enable it with `feast feature-views enable disabled_fv`",
    "feature_view flag_fv": "its entity flag is left out",
    "feature_view labels_fv": "it is a label view",
    "feature_view offline_fv": "it is not online; give it online=True",
    "feature_view offline_stream_fv": "it is not online; give it online=True",
    "feature_view puzzle_fv": "its entity puzzle is left out",
    "feature_view unserved_fv": "it has no feature of a type that can be served",
    "feature_view zone_fv": "its entity zone is left out",
    "feature_view zone_of_64_bits_fv": "its entity zone is left out",
    "on_demand_feature_view aggregating_odfv": "it has aggregations",
    "on_demand_feature_view disabled_odfv": "it is disabled",
    "on_demand_feature_view everywhere_odfv": "its sources have no entity; give one of them an entity",
    "on_demand_feature_view mapped_source_odfv": "its source scalars_fv has an alias, a join-key map or a version",
    "on_demand_feature_view offline_odfv": "its source offline_fv is left out",
    "on_demand_feature_view renamed_source_odfv": "its source scalars_fv has an alias, a join-key map or a version",
    "on_demand_feature_view stored_odfv": "it is written to the online store",
    "on_demand_feature_view timely_odfv": "its request data at is UnixTimestamp; the gateway takes request data of",
    "feature_service again_v1": "it has the feature scalars_fv:a_int64 2 times; once is enough",
    "feature_service clashing_v1": "driver_id is request data of clashing_odfv and a join key; rename the request data",
    "feature_service everywhere_v1": "its views have no entity; add a feature of a view with one",
    "feature_service half_renamed_v1": "it has the view scalars_fv with an alias and without one; give each an alias",
    "feature_service offline_on_demand_v1": "its view offline_odfv is left out",
    "feature_service offline_v1": "its view offline_fv is left out",
    "feature_service partly_v1": "its feature partly_fv:a_map is left out",
    "feature_service swapped_v1": "its join-key maps make",
    "feature_service twice_v1": "it has two views of the name scalars_fv with other join keys; give one an alias",
}


def test_what_is_left_out_is_all_else_that_is_applied(contract: dict[str, Any]) -> None:
    assert {f"{entry['kind']} {entry['name']}" for entry in contract["left_out"]} == {*_LEFT_OUT}


@pytest.mark.parametrize("what", _LEFT_OUT)
def test_it_says_why_a_definition_is_left_out(contract: dict[str, Any], what: str) -> None:
    (why,) = [entry["why"] for entry in contract["left_out"] if f"{entry['kind']} {entry['name']}" == what]
    assert why.startswith(_LEFT_OUT[what])


def test_the_gateway_serves_all_that_it_has(contract: dict[str, Any], tmp_path: Path) -> None:
    write_contract(contract, tmp_path / "contract.json")
    loaded = load_contract(tmp_path / "contract.json")
    services = {service["name"]: service for service in contract["feature_services"]}
    # The gateway refuses a selection whose on-demand features could not be told apart from their inputs.
    assert loaded.services.keys() | {"on_demand_v1"} == services.keys()
    for name, features in loaded.services.items():
        assert {key["name"] for key in services[name]["join_keys"]} <= {column.name for column in features.columns}
    assert [column.name for column in loaded.services["mapped_v1"].columns] == [
        *("driver_id", "shop_id", "city_code", "other_id", "courier_id"),
    ]
