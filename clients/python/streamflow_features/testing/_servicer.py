"""The methods for users and the descriptions, answered from what a test serves."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
from streamflow.features.v1 import user_feature_service_pb2 as api
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer

from streamflow_features._errors import FeatureServingError
from streamflow_features._reasons import ErrorReason
from streamflow_features.testing._answers import asked
from streamflow_features.testing._checks import both_data, check_count, checked_data, python_values
from streamflow_features.testing._definitions import Selection
from streamflow_features.testing._faults import call_error
from streamflow_features.testing._refused import refused
from streamflow_features.testing._served import Served, failing, fill_serving_info

_MAX_SLOW_ANSWERS = 64
"""How many answers of one stream may wait at a time."""


class UserServicer(UserFeatureServiceServicer):
    """Answers UserFeatureService."""

    def __init__(self, served: Served) -> None:
        """Creates a servicer of what is served."""
        self._served = served

    def GetUserFeatures(self, request: api.GetUserFeaturesRequest, context: Any) -> api.GetUserFeaturesResponse:  # noqa: N802
        """Return one user's features."""
        with failing(context):
            return self._one(request, within_s=context.time_remaining())
        raise AssertionError("abort raises")

    def BatchGetUserFeatures(  # noqa: N802  # the method's name in the API
        self, request: api.BatchGetUserFeaturesRequest, context: Any
    ) -> api.BatchGetUserFeaturesResponse:
        """Return several users' features; an error of one user is that user's result."""
        started_ns, user_ids = time.perf_counter_ns(), request.user_ids
        with failing(context):
            self._served.obey(user_ids, within_s=context.time_remaining())
            question = asked(self._served.definitions, request)
            check_count(user_ids, limit=self._served.max_batch_users)
            selection = question.selection
            by_user = [python_values(one.values) for one in request.request_data_by_user]
            common = checked_data(python_values(request.request_data), selection, complete=not by_user)
            if by_user and len(by_user) != len(user_ids):
                raise refused(
                    ErrorReason.COLUMNS_RAGGED,
                    f"There are {len(user_ids)} user ids and the request data of {len(by_user)} users.",
                )
            reply = api.BatchGetUserFeaturesResponse(contract_hash=self._served.definitions.contract_hash)
            for position, user_id in enumerate(user_ids):
                result = reply.results.add(user_id=user_id)
                try:
                    own = checked_data(by_user[position], selection, complete=False) if by_user else {}
                    data = checked_data(both_data(common, own, selection), selection)
                    features, row = self._served.user(user_id, question, data)
                except FeatureServingError as error:
                    result.error.CopyFrom(call_error(error))
                    continue
                result.user_features.CopyFrom(features)
                if row.stale_age_s is not None:
                    result.stale_age.FromTimedelta(timedelta(seconds=row.stale_age_s))
            if request.include_serving_info and any(one.HasField("user_features") for one in reply.results):
                fill_serving_info(reply.serving_info, started_ns=started_ns, users=len(user_ids))
            return reply
        raise AssertionError("abort raises")

    def StreamUserFeatures(  # noqa: N802  # the method's name in the API
        self, request_iterator: Iterable[api.StreamUserFeaturesRequest], _context: Any
    ) -> Iterator[api.StreamUserFeaturesResponse]:
        """Answer each message as soon as its answer is there."""
        answers: queue.SimpleQueue[api.StreamUserFeaturesResponse | None] = queue.SimpleQueue()
        pool = ThreadPoolExecutor(_MAX_SLOW_ANSWERS)

        def read() -> None:
            try:
                # It waits for the answers under way.
                with pool:
                    for message in request_iterator:
                        pool.submit(lambda one=message: answers.put(self._answer(one)))  # type: ignore[misc]  # its default
            except (grpc.RpcError, RuntimeError):
                # The caller has left, and the pool may be shut down.
                pass
            finally:
                answers.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            while (answer := answers.get()) is not None:
                yield answer
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def GetFeatureService(self, request: api.GetFeatureServiceRequest, context: Any) -> api.GetFeatureServiceResponse:  # noqa: N802
        """Describe a feature service."""
        with failing(context):
            definitions = self._served.definitions
            self._served.obey((), within_s=context.time_remaining())
            reply = api.GetFeatureServiceResponse(
                join_key=definitions.key.name, contract_hash=definitions.contract_hash
            )
            _describe(reply.feature_service, request.name, definitions.of_service(request.name))
            return reply
        raise AssertionError("abort raises")

    def ListFeatureServices(  # noqa: N802  # the method's name in the API
        self, request: api.ListFeatureServicesRequest, context: Any
    ) -> api.ListFeatureServicesResponse:
        """Describe all feature services."""
        del request
        with failing(context):
            definitions = self._served.definitions
            self._served.obey((), within_s=context.time_remaining())
            reply = api.ListFeatureServicesResponse(
                join_key=definitions.key.name, contract_hash=definitions.contract_hash
            )
            for name in definitions.service_names():
                _describe(reply.feature_services.add(), name, definitions.of_service(name))
            return reply
        raise AssertionError("abort raises")

    def _one(self, request: api.GetUserFeaturesRequest, *, within_s: float | None) -> api.GetUserFeaturesResponse:
        started_ns = time.perf_counter_ns()
        self._served.obey([request.user_id], within_s=within_s)
        question = asked(self._served.definitions, request)
        data = checked_data(python_values(request.request_data), question.selection)
        features, row = self._served.user(request.user_id, question, data)
        reply = api.GetUserFeaturesResponse(
            user_features=features, contract_hash=self._served.definitions.contract_hash
        )
        if row.stale_age_s is not None:
            reply.stale_age.FromTimedelta(timedelta(seconds=row.stale_age_s))
        if request.include_serving_info:
            fill_serving_info(reply.serving_info, started_ns=started_ns, users=1)
        return reply

    def _answer(self, message: api.StreamUserFeaturesRequest) -> api.StreamUserFeaturesResponse:
        answer = api.StreamUserFeaturesResponse(request_id=message.request_id)
        within_s = message.timeout.ToTimedelta().total_seconds() if message.HasField("timeout") else None
        try:
            answer.response.CopyFrom(self._one(message.request, within_s=within_s))
        except FeatureServingError as error:
            answer.error.CopyFrom(call_error(error))
        return answer


def _describe(message: api.FeatureService, name: str, selection: Selection) -> None:
    message.name = name
    for shown, feature in zip(selection.names, selection.features, strict=True):
        described = message.features.add(
            name=shown, feature_reference=feature.reference, dtype=feature.dtype or "String"
        )
        if feature.max_age_s is not None:
            described.max_age.FromTimedelta(timedelta(seconds=feature.max_age_s))
    for shown, dtype in selection.request_data.items():
        message.request_data.add(name=shown, dtype=dtype)
