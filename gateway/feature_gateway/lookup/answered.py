"""Tells the observer of the rows of a call."""

from collections import Counter
from collections.abc import Sequence

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.observer import Observer
from feature_gateway.reads import Served
from feature_gateway.values import Row


def count_answered(observer: Observer, feature_set: FeatureSet, rows: Sequence[Row], served: Sequence[Served]) -> None:
    """Tell of rows, once for all that share a judgement, and of those that were remembered."""
    counts = {rows[0].judgement: 1} if len(rows) == 1 else Counter([row.judgement for row in rows])
    for judgement, count in counts.items():
        observer.rows_answered(feature_set, judgement, count)
    for one in served:
        if one.stale_age_s is not None:
            observer.stale_answered()
