"""Joins the replies of the methods for users from encoded values; pure.

Only a value's tag changes: its field in a Feature has the same wire type as in a feast.types.Value. What stands ahead
of the values is made once for all rows that share a judgement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesResponse,
    GetUserFeaturesResponse,
    UserResult,
)

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.dtypes import DTYPES
from feature_gateway.encoding import timestamp_message
from feature_gateway.grpc_api.messages import fill_error, fill_serving_info
from feature_gateway.lookup.query import UserFailure, UserFeatures
from feature_gateway.values import EncodedValue, FeatureStatus, Judgement
from feature_gateway.wire import field_of, heads

# A month's snapshot gives all users the same timestamps, so few frames are in use at a time.
_MAX_REMEMBERED = 1024
# What stands ahead of larger values is made for each.
_SMALL = 64

_USER_ID, _FEATURE, _RESULT = heads(1), heads(2), heads(1)
_USER_KNOWN = b"\x18\x01"
_STATUSES = {status: bytes((0x10, status)) for status in FeatureStatus}
# The tag of a Timestamp's seconds.
_SECONDS = 0x08
_USER_FEATURES_OF_RESPONSE, _USER_FEATURES_OF_RESULT = heads(1), heads(2)


def response_of(answer: UserFeatures, *, serving_info: bool) -> bytes:
    """Return a GetUserFeaturesResponse, serialized."""
    features = _user_features(answer)
    reply = _USER_FEATURES_OF_RESPONSE[len(features)] + features + _contract_hash(answer.contract_hash)
    if not serving_info and answer.served.stale_age_s is None:
        return reply
    rest = GetUserFeaturesResponse()
    if answer.served.stale_age_s is not None:
        rest.stale_age.FromTimedelta(timedelta(seconds=answer.served.stale_age_s))
    if serving_info:
        fill_serving_info(rest.serving_info, [answer])
    return reply + rest.SerializeToString()


def batch_response_of(
    answers: Sequence[UserFeatures | UserFailure], contract_hash: str, *, serving_info: bool
) -> bytes:
    """Return a BatchGetUserFeaturesResponse, serialized."""
    parts: list[bytes] = []
    for answer in answers:
        result = _result_of(answer)
        parts += (_RESULT[len(result)], result)
    parts.append(_contract_hash(contract_hash))
    served = [answer for answer in answers if isinstance(answer, UserFeatures)]
    if serving_info and served:
        rest = BatchGetUserFeaturesResponse()
        fill_serving_info(rest.serving_info, served)
        parts.append(rest.SerializeToString())
    return b"".join(parts)


def _result_of(answer: UserFeatures | UserFailure) -> bytes:
    """Return a UserResult, serialized."""
    if isinstance(answer, UserFailure):
        failure = UserResult(user_id=answer.user_id)
        fill_error(failure.error, answer.error)
        return failure.SerializeToString()
    rest = b""
    if answer.served.stale_age_s is not None:
        message = UserResult()
        message.stale_age.FromTimedelta(timedelta(seconds=answer.served.stale_age_s))
        rest = message.SerializeToString()
    user_id, features = answer.user_id.encode(), _user_features(answer)
    return b"".join((_USER_ID[len(user_id)], user_id, _USER_FEATURES_OF_RESULT[len(features)], features, rest))


@lru_cache(maxsize=_MAX_REMEMBERED)
def _contract_hash(text: str) -> bytes:
    """Return the contract's hash as a field of both responses."""
    return field_of(2, text.encode())


def _user_features(answer: UserFeatures) -> bytes:
    user_id, row = answer.user_id.encode(), answer.row
    frame = _frame(answer.feature_set, row.judgement)
    values = _with_times(row.values, frame.times) if frame.times else row.values
    slots = zip(frame.slots, values, strict=True)
    if frame.short_tags and None not in values:
        features = [slot[len(value)] + value[1:] for slot, value in slots]  # type: ignore[arg-type,index]  # none is None
    else:
        features = [slot.null if value is None else slot[len(value)] + value[slot.skipped :] for slot, value in slots]
    return b"".join((_USER_ID[len(user_id)], user_id, *features, frame.tail))


def _with_times(values: Sequence[EncodedValue], times: tuple[int, ...]) -> Sequence[EncodedValue]:
    """Return values with those of UnixTimestamp as a Timestamp, behind a tag that is skipped as others are."""
    sent = [*values]
    for position in times:
        value = sent[position]
        if value is not None:
            # Field 1 of a Timestamp is a varint too, so the message is as long as the encoded value.
            sent[position] = value[:1] + bytes((len(value), _SECONDS)) + value[1:]
    return sent


class _Slot(dict[int, bytes]):
    """One feature of a frame: what stands ahead of its value, by the length of the encoded value."""

    def __init__(self, head: bytes, *, skipped: int, null: bytes) -> None:
        """Create it of the Feature up to and with the tag of the value; `null` is a Feature without a value, whole."""
        super().__init__()
        self._head = head
        self.null = null
        self.skipped = skipped
        """The bytes of the tag that stands ahead of the encoded value."""

    def __missing__(self, size: int) -> bytes:
        ahead = _FEATURE[len(self._head) - self.skipped + size] + self._head
        if size < _SMALL:
            self[size] = ahead
        return ahead


@dataclass(frozen=True, slots=True)
class _Frame:
    """A UserFeatures but for user id and values."""

    slots: tuple[_Slot, ...]

    times: tuple[int, ...]
    """The positions of the features that are UnixTimestamp, which is a message in the API."""

    short_tags: bool
    """Whether each value has a tag of one byte ahead of it, as scalars have."""

    tail: bytes


@lru_cache(maxsize=_MAX_REMEMBERED)
def _frame(feature_set: FeatureSet, judgement: Judgement) -> _Frame:
    stamps = map(_stamp, judgement.event_timestamps_ns)
    slots = []
    for (name, skipped, value_tag), status, stamp in zip(_fields(feature_set), judgement.statuses, stamps, strict=True):
        start = name + _STATUSES[status] + stamp
        head = start + value_tag
        slots.append(_Slot(head, skipped=skipped, null=_FEATURE[len(start)] + start))
    times = tuple(at for at, feature in enumerate(feature_set.features) if feature.dtype == "UnixTimestamp")
    short_tags = all(slot.skipped == 1 for slot in slots)
    return _Frame(tuple(slots), times, short_tags, _USER_KNOWN if judgement.known else b"")


@lru_cache(maxsize=_MAX_REMEMBERED)
def _fields(feature_set: FeatureSet) -> tuple[tuple[bytes, int, bytes], ...]:
    """Return the field of each feature's name, the bytes of its encoded value's tag, and the tag of its value."""
    return tuple(
        (field_of(1, feature.name.encode()), len(dtype.tag), dtype.proto_tag)
        for feature, dtype in ((feature, DTYPES[feature.dtype]) for feature in feature_set.features)
    )


@lru_cache(maxsize=_MAX_REMEMBERED)
def _stamp(stamp_ns: int | None) -> bytes:
    """Return an event timestamp as a field of Feature."""
    return b"" if stamp_ns is None else field_of(3, timestamp_message(stamp_ns))
