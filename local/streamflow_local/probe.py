"""A read of one row of another Feast repository: what health checks ask for, and what `make up` shows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import grpc
from streamflow.features.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesRequest
from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from streamflow.features.feast.types.Value_pb2 import Value

_Key = tuple[str, str | int]
_FIELDS: Mapping[str, _Key] = {"String": ("string_val", "1"), "Int32": ("int32_val", 1), "Int64": ("int64_val", 1)}
"""By the type of a join key: the field of Feast's Value, and the value of a row that need not exist."""

_MAX_SHOWN = 40


@dataclass(frozen=True)
class StoredRow:
    """A row that the online store has."""

    key: Mapping[str, _Key]
    """By join key: the field of Feast's Value, and the value."""

    views: frozenset[str]
    """The feature views that have a row of the key."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Some features of one row."""

    references: list[str]

    row: dict[str, _Key]
    """By join key: the field of Feast's Value, and the value."""

    @classmethod
    def choose(cls, contract: Mapping[str, Any], stored_rows: Iterable[StoredRow]) -> "Probe":
        """Return a probe of a row that is stored, or of a made-up row if no view has one.

        Raises LookupError if the contract has no feature view.
        """
        entities = {entity["name"]: entity for entity in contract["entities"]}
        views = [
            ({entities[name]["join_key"]: entities[name]["dtype"] for name in view["entities"]}, view)
            for view in contract["feature_views"]
            # Without a key it is read beside other views alone.
            if view["entities"]
        ]
        for stored in stored_rows:
            for join_keys, view in views:
                if view["name"] in stored.views and join_keys.keys() == stored.key.keys():
                    return cls(references=_references(view), row=dict(stored.key))
        if not views:
            raise LookupError("the contract has no feature view that the gateway can serve")
        join_keys, view = views[0]
        return cls(references=_references(view), row={name: _FIELDS[dtype] for name, dtype in join_keys.items()})

    def save(self, path: Path) -> None:
        """Write the probe for `load`."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Probe":
        """Return the probe of a file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def body(self) -> dict[str, object]:
        """Return the body that asks `feast serve` for the features."""
        entities = {name: [value] for name, (_, value) in self.row.items()}
        return {"features": self.references, "entities": entities, "full_feature_names": True}

    def ask(self, channel: grpc.Channel, *, timeout_s: float) -> list[str]:
        """Ask a gateway by Feast's own API; return a line for each feature. Raises grpc.RpcError."""
        request = GetOnlineFeaturesRequest(full_feature_names=True)
        request.features.val.extend(self.references)
        for name, (field, value) in self.row.items():
            request.entities[name].val.append(Value(**{field: value}))  # type: ignore[arg-type]  # by the key's type
        response = ServingServiceStub(channel).GetOnlineFeatures(request, timeout=timeout_s)
        names = response.metadata.feature_names.val
        width = max(map(len, names))
        return [
            f"{name:<{width}}  {_shown(column.values[0]):<{_MAX_SHOWN}}  "
            f"{FieldStatus.Name(column.statuses[0]):<15}  {_time(column.event_timestamps[0])}".rstrip()
            for name, column in zip(names, response.results, strict=True)
            if name not in self.row
        ]


def _references(view: Mapping[str, Any]) -> list[str]:
    return [f"{view['name']}:{feature['name']}" for feature in view["features"]]


def _shown(value: Value) -> str:
    field = value.WhichOneof("val")
    if field is None:
        return "None"
    content = getattr(value, field)
    text = str(list(content.val) if field.endswith("_list_val") else content)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _time(stamp: Any) -> str:
    return stamp.ToDatetime(UTC).isoformat() if stamp.seconds or stamp.nanos else ""
