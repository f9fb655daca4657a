"""Feast's messages of definitions become plain values. No function of a definition is loaded or run."""

from collections.abc import Iterable, Sequence
from typing import Any

from feast import Entity as FeastEntity
from feast import FeatureService, FeatureView, OnDemandFeatureView, StreamFeatureView
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.field import Field as FeastField
from feast.labeling.label_view import LabelView
from feast.types import Array, from_value_type
from feast.value_type import ValueType

from feast_contract.definitions import Definitions, Entity, Field, OnDemandView, Projection, Service, View


def definitions_of(objects: Iterable[Any], *, project: str) -> Definitions:
    """Return Feast's definitions, whether applied or not, as plain values; what is no definition is passed over."""
    kinds = {
        FeastEntity: "entities",
        FeatureView: "feature_views",
        StreamFeatureView: "stream_feature_views",
        LabelView: "label_views",
        OnDemandFeatureView: "on_demand_feature_views",
        FeatureService: "feature_services",
    }
    messages: dict[str, list[Any]] = {name: [] for name in kinds.values()}
    for thing in objects:
        kind = next((base for base in type(thing).__mro__ if base in kinds), None)
        if kind is not None:
            messages[kinds[kind]].append(thing.to_proto().spec)
    return _definitions(project, **messages)


def definitions_in(registry: Any, *, project: str) -> Definitions:
    """Return the definitions of one project in a registry's message."""

    def specs(name: str) -> list[Any]:
        return [message.spec for message in getattr(registry, name) if message.spec.project == project]

    return _definitions(
        project,
        entities=specs("entities"),
        feature_views=specs("feature_views"),
        stream_feature_views=specs("stream_feature_views"),
        label_views=specs("label_views"),
        on_demand_feature_views=specs("on_demand_feature_views"),
        feature_services=specs("feature_services"),
    )


def _definitions(
    project: str,
    *,
    entities: Sequence[Any],
    feature_views: Sequence[Any],
    stream_feature_views: Sequence[Any],
    label_views: Sequence[Any],
    on_demand_feature_views: Sequence[Any],
    feature_services: Sequence[Any],
) -> Definitions:
    return Definitions(
        project=project,
        entities=[_entity(spec) for spec in entities if spec.name != DUMMY_ENTITY_NAME],
        views=[
            *(_view(spec) for spec in (*feature_views, *stream_feature_views)),
            *(_label_view(spec) for spec in label_views),
        ],
        on_demand_views=[_on_demand_view(spec) for spec in on_demand_feature_views],
        services=[_service(spec) for spec in feature_services],
    )


def _entity(spec: Any) -> Entity:
    return Entity(
        name=spec.name,
        join_key=spec.join_key,
        dtype=_dtype(from_value_type(ValueType(spec.value_type))),
        pattern=spec.tags.get("pattern") or None,
        **_notes(spec),
    )


def _view(spec: Any) -> View:
    return View(
        name=spec.name,
        entities=_entities(spec),
        key_dtypes={field.name: field.dtype for field in _fields(spec.entity_columns)},
        features=_fields(spec.features),
        max_age_s=spec.ttl.ToNanoseconds() / 1e9 or None,
        online=spec.online,
        enabled=not spec.disabled,
        has_labels=False,
        **_notes(spec),
    )


def _label_view(spec: Any) -> View:
    return View(
        name=spec.name,
        entities=_entities(spec),
        key_dtypes={},
        features=_fields(spec.features),
        max_age_s=None,
        online=True,
        enabled=True,
        has_labels=True,
    )


def _entities(spec: Any) -> tuple[str, ...]:
    # Feast gives a view without entities one of its own.
    return tuple(name for name in spec.entities if name != DUMMY_ENTITY_NAME)


def _on_demand_view(spec: Any) -> OnDemandView:
    # The message has its sources in no order.
    sources = [spec.sources[name] for name in sorted(spec.sources)]
    projections = [
        source.feature_view_projection for source in sources if source.WhichOneof("source") == "feature_view_projection"
    ]
    requests = [
        source.request_data_source for source in sources if source.WhichOneof("source") == "request_data_source"
    ]
    request = {field.name: field for source in requests for field in _fields(source.request_data_options.schema)}
    return OnDemandView(
        name=spec.name,
        mode=spec.mode or "pandas",
        singleton=spec.singleton,
        row_by_row=spec.tags.get("row_by_row") == "true",
        sources=tuple(sorted(map(_projection, projections), key=lambda projection: projection.view)),
        request=tuple(request.values()),
        features=_fields(spec.features),
        enabled=not spec.disabled,
        stored=spec.write_to_online_store,
        aggregates=bool(spec.aggregations),
        **_notes(spec),
    )


def _service(spec: Any) -> Service:
    return Service(name=spec.name, projections=tuple(map(_projection, spec.features)), **_notes(spec))


def _notes(spec: Any) -> dict[str, Any]:
    return {"description": spec.description, "owner": spec.owner, "tags": dict(spec.tags)}


def _projection(message: Any) -> Projection:
    return Projection(
        view=message.feature_view_name,
        alias=message.feature_view_name_alias or message.feature_view_name,
        join_key_map={key: column for key, column in sorted(message.join_key_map.items()) if key != column},
        features=tuple(field.name for field in message.feature_columns),
        version=message.version_tag if message.HasField("version_tag") else None,
    )


def _fields(messages: Iterable[Any]) -> tuple[Field, ...]:
    return tuple(
        Field(message.name, _dtype(FeastField.from_proto(message).dtype), message.description, dict(message.tags))
        for message in messages
    )


def _dtype(dtype: Any) -> str:
    return f"List({_dtype(dtype.base_type)})" if isinstance(dtype, Array) else str(dtype)
