"""Judges the statuses of a row from its values and event timestamps; pure.

Feast's own statuses are not read: on Redis they are PRESENT for every value. A view has no row of a key if each of its
columns has a null at the epoch. Some stores keep no time: a value at the epoch is there, and its time is not known.
"""

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.values import FeatureStatus, FeatureValue, Row

_PRESENT = FeatureStatus.PRESENT
_NULL_VALUE = FeatureStatus.NULL_VALUE
_NOT_FOUND = FeatureStatus.NOT_FOUND


def row_of(values: tuple[FeatureValue, ...], stamps_ns: tuple[int, ...], feature_set: FeatureSet) -> Row:
    """Return the row of values that were read for a feature set; `stamps_ns` are 0 at the epoch."""
    if None not in values and 0 not in stamps_ns:
        return Row(values, (_PRESENT,) * len(values), stamps_ns, known=True)
    statuses = [_NULL_VALUE if value is None else _PRESENT for value in values]
    stamps: list[int | None] = [stamp_ns or None for stamp_ns in stamps_ns]
    known = False
    for positions in feature_set.positions_by_view:
        if all(values[position] is None and stamps[position] is None for position in positions):
            for position in positions:
                statuses[position] = _NOT_FOUND
        else:
            known = True
    for position, sources in feature_set.sources:
        _judge_output(position, sources, statuses, stamps)
    return Row(values, tuple(statuses), tuple(stamps), known)


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
