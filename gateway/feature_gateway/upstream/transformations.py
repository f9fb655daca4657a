"""Tells a failure of an on-demand view's function from one of a server or its store; pure.

`feast serve` answers both with a 500 and the exception's text, whatever it is. The inputs of the function are read
then, alone: if that is answered, the function failed.
"""

from collections.abc import Sequence
from http import HTTPStatus

from feature_gateway.clipping import listed
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import TransformationFailedError

# ValueErrors of Feast's own, ahead of any read.
_OF_FEAST = (b"not found in projection", b"and cannot serve features")


def may_be_of_a_function(feature_set: FeatureSet, status: int, body: bytes) -> bool:
    """Return whether an unsuccessful answer may have a function's exception."""
    if not feature_set.on_demand or status != HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    return not any(text in body for text in _OF_FEAST)


def inputs_of(feature_set: FeatureSet, keys: Sequence[RowKey]) -> tuple[FeatureSet, list[RowKey]] | None:
    """Return what to read instead: the functions' inputs for the same rows; None if they have none."""
    inputs = feature_set.stored_inputs
    return None if inputs is None else (inputs, keys_for(inputs, feature_set, keys))


def keys_for(part: FeatureSet, feature_set: FeatureSet, keys: Sequence[RowKey]) -> list[RowKey]:
    """Return the keys of a feature set as those of a part of its columns."""
    positions = [feature_set.columns.index(column) for column in part.columns]
    return [tuple(key[position] for position in positions) for key in keys]


def transformation_failed(feature_set: FeatureSet) -> TransformationFailedError:
    """Return the error of a row for which a function failed; Feast's text may have values, and is left out."""
    names = listed([view.name for view in feature_set.on_demand])
    rows = "the rows of this call" if feature_set.reads_whole_calls else "this row"
    return TransformationFailedError(
        f"The function of an on-demand feature view ({names}) failed for {rows}; the feature server's log has why.",
        metadata={"feature_views": names},
    )
