"""What the caller of a merged call gets from the flight that the call left with."""

from collections.abc import Sequence
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError

from streamflow_features._batch_reply import BatchReply
from streamflow_features._errors import (
    FeatureServingError,
    Unavailable,
    error_of,
    from_rpc_error,
    undecodable,
    wrong_count,
)
from streamflow_features._features import UserFeatures, serving_info_of
from streamflow_features._merging import Call
from streamflow_features._results import result_of


class Answered(NamedTuple):
    """A flight's reply, and the position of a caller's result in the reply."""

    reply: BatchReply
    position: int


Outcome = Answered | BaseException
"""What a caller gets: a result, what failed the flight, or an error of the caller's own."""


def features_of(outcome: Outcome) -> UserFeatures | None:
    """Return a caller's features, or raise the caller's error, each time as another object.

    None for a caller that has to ask again, alone, because this gateway can't read the user now. gRPC tries a call that
    fails so on other gateways, but knows nothing of a failed part of a reply.
    """
    if isinstance(outcome, Answered):
        result = _result(outcome)
        if isinstance(result, Unavailable):
            return None
        if isinstance(result, FeatureServingError):
            raise result
        return result
    if isinstance(outcome, grpc.RpcError):
        raise from_rpc_error(outcome) from outcome
    if isinstance(outcome, FeatureServingError):
        # All callers of a flight have this object.
        raise error_of(outcome.code, str(outcome))
    raise error_of(grpc.StatusCode.UNKNOWN, "The request could not be sent.") from outcome


def outcomes_of(calls: Sequence[Call], ended: BatchReply | BaseException) -> Sequence[Outcome]:
    """Return what each call of a flight gets from its reply, or from what failed it."""
    if isinstance(ended, BatchReply) and len(ended.results) == len(calls):
        return [Answered(ended, position) for position in range(len(calls))]
    if isinstance(ended, BatchReply):
        ended = wrong_count(len(ended.results), users=len(calls))
    return [ended] * len(calls)


def _result(answered: Answered) -> UserFeatures | FeatureServingError:
    reply = answered.reply
    try:
        return result_of(reply, answered.position, serving_info=serving_info_of(reply.serving_info))
    except DecodeError as error:
        raise undecodable() from error
