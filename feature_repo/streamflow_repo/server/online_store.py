"""Feast's Redis online store with one command for each user, and replies made of the bytes that Redis holds.

Feast keeps all feature views of an entity in one hash, and reads the hash once for each view. These commands are a
third of the cost of a read. The values in Redis are encoded protobuf messages, and so are the values of a reply: Feast
decodes each value and copies the value twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from feast import FeatureView, RepoConfig, utils
from feast.infra.online_stores.redis import RedisOnlineStoreConfig, _versioned_fv_name
from feast.metrics import track_feature_statuses
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse

from streamflow_repo.server.newest_wins import NewestWinsRedisOnlineStore
from streamflow_repo.server.redis_connection import pack_by_hiredis

_Row = Sequence[bytes | None]

_Column = GetOnlineFeaturesResponse.FeatureVector
_VALUES = _Column.VALUES_FIELD_NUMBER
_STATUSES = _Column.STATUSES_FIELD_NUMBER
_EVENT_TIMESTAMPS = _Column.EVENT_TIMESTAMPS_FIELD_NUMBER
_LENGTH_DELIMITED = 2


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004  # seven bits a byte, the eighth says that more follow
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _framed(field: int, content: bytes) -> bytes:
    """Return a length-delimited field in protobuf's encoding (protobuf.dev/programming-guides/encoding)."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


# The field's tag and length in front of a message, for the lengths of nearly all messages.
_HEADS = {field: [_framed(field, bytes(n))[: -n or None] for n in range(128)] for field in (_VALUES, _EVENT_TIMESTAMPS)}


class OneReadRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The settings of Feast's Redis online store. Feast derives this class's name from the name of the store."""

    # Feast's own field accepts "redis" only.
    type: Literal["streamflow_repo.server.online_store.OneReadRedisOnlineStore"] = (
        "streamflow_repo.server.online_store.OneReadRedisOnlineStore"  # type: ignore[assignment]
    )


class OneReadRedisOnlineStore(NewestWinsRedisOnlineStore):
    """Reads the data of RedisOnlineStore: all views of a user in one HMGET, copied into the reply column by column.

    It writes as its base class does. The class overrides a private method of Feast 0.67. The lock pins that version,
    and tests compare the replies with Feast's own.
    """

    async def _get_client_async(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        new = self._client_async is None
        client = await super()._get_client_async(online_store_config)
        if new:
            pack_by_hiredis(client)
        return client

    async def _read_features_per_fv_async(  # noqa: PLR0917  # Feast's signature
        self,
        config: RepoConfig,
        grouped_refs: Sequence[tuple[FeatureView, list[str]]],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,
        full_feature_names: bool,  # noqa: FBT001  # the same
        include_feature_view_version_metadata: bool,  # noqa: FBT001  # the same
    ) -> None:
        if include_feature_view_version_metadata:
            await super()._read_features_per_fv_async(
                config,
                grouped_refs,
                join_key_values,
                entity_name_to_join_key_map,
                online_features_response,
                full_feature_names,
                include_feature_view_version_metadata,
            )
            return
        client = await self._get_client_async(config.online_store)
        for tables in _by_entity(grouped_refs):
            # All views of an entity have the same keys.
            entities, indexes, output_len = utils._get_unique_entities(  # noqa: SLF001  # as in the method stood in for
                tables[0][0], join_key_values, entity_name_to_join_key_map
            )
            keys = self._generate_redis_keys_for_entities(config, utils._get_entity_key_protos(entities))  # noqa: SLF001
            columns: list[tuple[FeatureView, list[str], slice]] = []
            fields: list[str | bytes] = []
            for table, features in tables:
                # Names of this view only. The last name is that of the view's event timestamp.
                view = _versioned_fv_name(table, config)
                names, of_view = self._generate_hset_keys_for_features(table, features, fv_name_override=view)
                columns.append((table, names[:-1], slice(len(fields), len(fields) + len(of_view))))
                fields += of_view
            async with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hmget(key, fields)
                rows = await pipe.execute()
            by_field = list(zip(*_fanned_out(rows, indexes, output_len), strict=True))
            for table, names, part in columns:
                *values, timestamps = by_field[part]
                projection: Any = table.projection
                prefix = f"{projection.name_to_use()}__" if full_feature_names else ""
                online_features_response.metadata.feature_names.val.extend(prefix + name for name in names)
                _add_columns(online_features_response, values, timestamps)
                track_feature_statuses(table.name, len(names) * output_len, 0)


def _fanned_out(rows: Sequence[_Row], indexes: Iterable[Sequence[int]], output_len: int) -> list[_Row]:
    """Return a row for each entity of the request, from rows that were read once for each distinct entity."""
    outputs: list[_Row] = [()] * output_len
    for row, destinations in zip(rows, indexes, strict=True):
        for output in destinations:
            outputs[output] = row
    return outputs


def _add_columns(response: Any, columns: Iterable[Sequence[bytes | None]], timestamps: Sequence[bytes | None]) -> None:
    """Add a column to the reply for each of `columns`, all PRESENT, as Feast says of whatever Redis holds or lacks.

    The bytes are Value and Timestamp messages; None stands for an empty message. Raises DecodeError for other bytes.
    """
    stamps = _repeated(_EVENT_TIMESTAMPS, timestamps)
    statuses = _framed(_STATUSES, bytes([FieldStatus.PRESENT]) * len(timestamps))
    for values in columns:
        response.results.add().MergeFromString(_repeated(_VALUES, values) + statuses + stamps)


def _repeated(field: int, messages: Iterable[bytes | None]) -> bytes:
    """Return a repeated field of encoded messages, in protobuf's encoding."""
    heads = _HEADS[field]
    return b"".join(
        [
            heads[len(message)] + message if len(message) < len(heads) else _framed(field, message)
            for message in [message or b"" for message in messages]
        ]
    )


def _by_entity(grouped_refs: Sequence[tuple[FeatureView, list[str]]]) -> list[list[tuple[FeatureView, list[str]]]]:
    """Return the views in groups of the same entities under the same names, so that one read serves each group."""
    groups: dict[Any, list[tuple[FeatureView, list[str]]]] = {}
    for table, features in grouped_refs:
        names = tuple(sorted(table.projection.join_key_map.items()))
        groups.setdefault((tuple(table.entities), names), []).append((table, features))
    return list(groups.values())
