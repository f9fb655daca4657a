"""Judges the statuses of rows from their event timestamps, and from which of their values are there; pure.

Feast's own statuses are not read: on Redis they are PRESENT for every value. A view has no row of a key if each of its
columns has a null at the epoch. Some stores keep no time: a value at the epoch is there, and its time is not known.
"""

from functools import lru_cache, partial
from operator import is_

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.values import EncodedValue, FeatureStatus, Judgement, Row

_PRESENT = FeatureStatus.PRESENT
_NULL_VALUE = FeatureStatus.NULL_VALUE
_NOT_FOUND = FeatureStatus.NOT_FOUND

# A month's snapshot gives all rows the same timestamps, so few judgements are in use at a time.
_MAX_REMEMBERED = 4096
_is_null = partial(is_, None)
_NO_NULLS = ()


def row_of(values: tuple[EncodedValue, ...], stamps_ns: tuple[int, ...], feature_set: FeatureSet) -> Row:
    """Return the row of values that were read for a feature set; `stamps_ns` are 0 at the epoch."""
    return Row(values, judgement_of(feature_set, stamps_ns, nulls_of(values)))


def nulls_of(values: tuple[EncodedValue, ...]) -> tuple[bool, ...]:
    """Return which values are null; an empty tuple if none is."""
    return tuple(map(_is_null, values)) if None in values else _NO_NULLS


@lru_cache(maxsize=_MAX_REMEMBERED)
def judgement_of(feature_set: FeatureSet, stamps_ns: tuple[int, ...], nulls: tuple[bool, ...]) -> Judgement:
    """Return the judgement of rows with these times, 0 at the epoch, and nulls, as `nulls_of` has them."""
    if not nulls and 0 not in stamps_ns:
        return Judgement((_PRESENT,) * len(stamps_ns), stamps_ns, known=True)
    nulls = nulls or (False,) * len(stamps_ns)
    statuses = [_NULL_VALUE if null else _PRESENT for null in nulls]
    stamps: list[int | None] = [stamp_ns or None for stamp_ns in stamps_ns]
    known = False
    for positions in feature_set.positions_by_view:
        if all(nulls[position] and stamps[position] is None for position in positions):
            for position in positions:
                statuses[position] = _NOT_FOUND
        else:
            known = True
    for position, sources in feature_set.sources:
        _judge_output(position, sources, statuses, stamps)
    return Judgement(tuple(statuses), tuple(stamps), known)


def _judge_output(
    position: int, sources: tuple[tuple[int, ...], ...], statuses: list[FeatureStatus], stamps: list[int | None]
) -> None:
    """Judge an on-demand feature, to which Feast gives the epoch, by the rows of its source views.

    Its event timestamp is the oldest row's. A null is NOT_FOUND if no source view has a row. A value that the function
    makes of nothing but missing rows stays: training sets have it too.
    """
    found = [positions for positions in sources if statuses[positions[0]] is not _NOT_FOUND]
    times = [[stamp for at in positions if (stamp := stamps[at]) is not None] for positions in found]
    stamps[position] = min((max(stamp) for stamp in times if stamp), default=None)
    if sources and not found and statuses[position] is _NULL_VALUE:
        statuses[position] = _NOT_FOUND
