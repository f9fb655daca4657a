"""Joins Feast's GetOnlineFeaturesResponse from encoded values: a column for each join key, then one for each feature.

A column's values are feast.types.Value messages as they were read. Pure.
"""

from collections.abc import Sequence
from functools import lru_cache

from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.encoding import timestamp_message
from feature_gateway.errors import GatewayError, TransformationFailedError
from feature_gateway.grpc_api.feast_request import FeastQuestion
from feature_gateway.lookup.query import RowFailure
from feature_gateway.values import FeatureStatus, Judgement, Row
from feature_gateway.wire import field_of, heads

# A month's snapshot gives all rows the same timestamps, so few judgements are in use at a time.
_MAX_REMEMBERED = 1024

# Fields of GetOnlineFeaturesResponse and of a FeatureVector.
_RESULT = heads(2)
_VALUE, _STATUSES = heads(1), heads(2)
_NULL = _VALUE[0]


def reply_of(question: FeastQuestion, answers: Sequence[Row | RowFailure]) -> bytes:
    """Return the reply to a question, serialized: rows and features in the order of the request and the feature set.

    Raises the first row's error, if there is one: a reply has no place for it.
    """
    feature_set = question.feature_set
    rows = [_row(position, answer, feature_set) for position, answer in enumerate(answers)]
    parts = [_names(feature_set, full_names=question.full_names)]
    for name in _join_keys(feature_set):
        # The values of a column of a request are of the same number as a result's.
        values, tail = question.encoded_key(name), _tail_of_key(len(rows))
        parts += (_RESULT[len(values) + len(tail)], values, tail)
    if len(rows) == 1:
        _add_row(parts, rows[0])
    else:
        _add_columns(parts, rows)
    return b"".join(parts)


def _add_row(parts: list[bytes], row: Row) -> None:
    """Add a column of one value for each feature of a row."""
    for value, (head, tail, null) in zip(row.values, _columns_of_one(row.judgement), strict=True):
        if value is None:
            parts.append(null)
        else:
            parts += (head[len(value)], value, tail)


def _add_columns(parts: list[bytes], rows: Sequence[Row]) -> None:
    """Add a column for each feature of several rows."""
    tails = _tails([row.judgement for row in rows])
    for column, tail in zip(zip(*[row.values for row in rows], strict=True), tails, strict=True):
        values = b"".join([_NULL if value is None else _VALUE[len(value)] + value for value in column])
        parts += (_RESULT[len(values) + len(tail)], values, tail)


def _row(position: int, answer: Row | RowFailure, feature_set: FeatureSet) -> Row:
    if isinstance(answer, RowFailure):
        error = answer.error
        # A function that gets a whole call fails for all of its rows.
        of_all = feature_set.reads_whole_calls and isinstance(error, TransformationFailedError)
        text = error.message if of_all else f"Row {position}: {error.message}"
        raise GatewayError(error.reason, text, field=error.field, metadata=error.metadata)
    return answer


@lru_cache(maxsize=_MAX_REMEMBERED)
def _names(feature_set: FeatureSet, *, full_names: bool) -> bytes:
    """Return the metadata of a reply: the names of its columns."""
    names = [feature.full_name if full_names else feature.feature for feature in feature_set.features]
    listed = b"".join(field_of(1, name.encode()) for name in (*_join_keys(feature_set), *names))
    return field_of(1, field_of(1, listed))


def _tails(judgements: Sequence[Judgement]) -> Sequence[bytes]:
    """Return what follows the values of each column: statuses and event timestamps, one for each row."""
    count, first = len(judgements), judgements[0]
    if judgements.count(first) == count:
        return [_STATUSES[count] + status * count + stamp * count for status, stamp in _cells(first)]
    columns = zip(*map(_cells, judgements), strict=True)
    return [
        _STATUSES[count] + b"".join(status for status, _ in cells) + b"".join(stamp for _, stamp in cells)
        for cells in columns
    ]


class _Head(dict[int, bytes]):
    """What stands ahead of a column's only value, by the size of the value."""

    def __init__(self, tail_size: int) -> None:
        super().__init__()
        self._tail_size = tail_size

    def __missing__(self, size: int) -> bytes:
        made = _RESULT[len(_VALUE[size]) + size + self._tail_size] + _VALUE[size]
        if len(self) < _MAX_REMEMBERED:
            self[size] = made
        return made


_head = lru_cache(_Head)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _columns_of_one(judgement: Judgement) -> Sequence[tuple[_Head, bytes, bytes]]:
    """Return what stands ahead of the value of each column and what follows it, and the column without a value."""
    tails = [_STATUSES[1] + status + stamp for status, stamp in _cells(judgement)]
    return [(_head(len(tail)), tail, _RESULT[len(_NULL) + len(tail)] + _NULL + tail) for tail in tails]


@lru_cache(maxsize=_MAX_REMEMBERED)
def _cells(judgement: Judgement) -> Sequence[tuple[bytes, bytes]]:
    """Return the number of each status, which is Feast's, and each event timestamp."""
    stamps = map(_stamp, judgement.event_timestamps_ns)
    return [(bytes((status,)), stamp) for status, stamp in zip(judgement.statuses, stamps, strict=True)]


def _tail_of_key(count: int) -> bytes:
    """Return what follows the values of a join key."""
    return _STATUSES[count] + bytes((FeatureStatus.PRESENT,)) * count + _stamp(None) * count


@lru_cache(maxsize=_MAX_REMEMBERED)
def _stamp(stamp_ns: int | None) -> bytes:
    """Return an event timestamp as a field of a FeatureVector; the epoch for none."""
    return field_of(3, timestamp_message(stamp_ns or 0))


@lru_cache(maxsize=_MAX_REMEMBERED)
def _join_keys(feature_set: FeatureSet) -> list[str]:
    """Return the names of the join keys, sorted: a request's columns have no order."""
    return sorted(column.name for column in feature_set.columns if column.kind is ColumnKind.JOIN_KEY)
