"""Reads contracts of version 1, which have one entity, as contracts of version 2."""

from typing import Any


def version_2_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of version 2 that says the same; raise KeyError or TypeError if it is no contract."""
    entity = content["entity"]
    join_key = {"name": entity["join_key"], "entity": entity["name"]}
    return {
        "entities": [entity],
        "feature_views": [{**view, "entities": [entity["name"]]} for view in content["feature_views"]],
        "on_demand_feature_views": [],
        "feature_services": [
            {
                **service,
                "by_name": False,
                "join_keys": [join_key],
                "features": [{**feature, "as": feature["view"]} for feature in service["features"]],
            }
            for service in content["feature_services"]
        ],
        "left_out": [],
    }
