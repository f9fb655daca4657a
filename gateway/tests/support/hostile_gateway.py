"""A gateway whose definitions, and whose store, have hostile names and values."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from any_entity import computed
from feature_gateway.settings import Settings
from gateway_fakes import EVENT_TIMESTAMP, FakeFeatureServer, service_entry, written_contract
from hostile import HOSTILE, LONG


def hostile_names() -> list[str]:
    """The hostile texts as names: JSON has no half of a character, and Feast's references no colon in a name."""
    return [name.replace(":", "").replace("\ud800", "") for name in HOSTILE]


def hostile_content() -> dict[str, Any]:
    """A feature, a view, a service and an entity of each hostile name, with hostile notes."""
    names = hostile_names()
    return {
        "version": 2,
        "project": "test",
        "entities": [{"name": name, "join_key": name, "dtype": "String", "pattern": None} for name in names],
        "feature_views": [
            {"name": name, "entities": [name], "max_age_s": None, "features": [{"name": name, "dtype": "String"}]}
            for name in names
        ],
        "on_demand_feature_views": [],
        "feature_services": [
            service_entry(name, [(name, name, "String", None)], join_keys=[{"name": name, "entity": name}])
            for name in names
        ],
        "descriptions": {
            "entities": {name: name for name in names},
            "feature_services": {name: name for name in names},
            "feature_views": {name: name for name in names},
            "features": {f"{name}:{name}": name for name in names},
            "owners": {f"feature_view {name}": name for name in names},
            "tags": {f"feature_view {name}": {name: name} for name in names},
        },
        "left_out": [],
    }


def hostile_settings(settings: Settings, feature_server: FakeFeatureServer, folder: Path) -> Settings:
    """The feature server has, for each row, the text of the row's key, and a long text for the key "long"."""

    def value_of(_: str, row: dict[str, Any]) -> tuple[str, str]:
        (key,) = row.values()
        return LONG if key == "long" else key, EVENT_TIMESTAMP

    feature_server.answer = feature_server.canary_answer = computed(value_of)
    return replace(
        settings,
        contract_path=written_contract(folder, hostile_content()),
        default_feature_service="",
        max_user_id_bytes=200_000,
        max_http_header_bytes=10**6,
    )
