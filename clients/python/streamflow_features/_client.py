"""The sync client."""

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Unpack

from streamflow.features.v1.user_feature_service_pb2 import (
    GetFeatureServiceRequest,
    ListFeatureServicesRequest,
    ListFeatureServicesResponse,
)

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._contract import checked_hash
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._many import ManyOptions, ManyUsers
from streamflow_features._merging import LaneKey
from streamflow_features._online_request import EntityRows, Named, online_request
from streamflow_features._online_response import OnlineResponse, online_response
from streamflow_features._queries import QueryOptions, Question, ReadOptions, batch_request, with_pinned
from streamflow_features._request_data import RequestDataValue
from streamflow_features._results import batch_of
from streamflow_features._selections import ask
from streamflow_features._services import FeatureService, feature_service, feature_services
from streamflow_features._stream import DEFAULT_MAX_IN_FLIGHT, Answer
from streamflow_features._sync_channel import SyncChannel
from streamflow_features._thread_many import answers_of, described
from streamflow_features._thread_stream import answers_of as stream_answers_of
from streamflow_features._typed import Asked, Given, Typed, contract_explained, typed_question


class FeatureClient(SyncChannel):
    """Reads users' features from gateways over one gRPC channel. Threads can share a client.

    Every method takes `timeout_s`, the call's deadline in seconds. Not given, the client's timeout applies. A failed
    call raises FeatureServingError or the code's subclass. In the child of a fork, a call raises RuntimeError: create
    a client in each process.
    """

    def check(self, *, timeout_s: float | None = None) -> str:
        """Return the hash of the contract that a gateway answers by, for a look at the start of a service.

        Raises FailedPrecondition if another hash is bound, NotFound if the bound feature service does not exist, and
        what every call raises.
        """
        name = self._pinned.get("feature_service")
        if name is None:
            return checked_hash(self._list_services(timeout_s).contract_hash, self._pinned)
        request = GetFeatureServiceRequest(name=name)
        return checked_hash(
            self._call(self._opened().stub.GetFeatureService, request, timeout_s).contract_hash, self._pinned
        )

    def get_user_features(
        self, user_id: str, *, timeout_s: float | None = None, **options: Unpack[QueryOptions]
    ) -> UserFeatures:
        """Return one user's features.

        `options` are the keywords of QueryOptions. They select a feature service, or references such as
        "subs_profile_fv:monthly_fee"; with neither, the gateway's default feature service. An unknown user is not an
        error: every status is then NOT_FOUND. Features that are computed from request data need `request_data`.

        Raises ValueError when a service and references are given, and TypeError for what can't be request data.
        """
        selection, request = ask(user_id, **with_pinned(self._pinned, options))
        opened = self._opened()
        if opened.merger is None:
            return user_features(self._call(opened.stub.GetUserFeatures, request, timeout_s))
        key = LaneKey(selection, opened.metadata())
        return opened.merger.answer(key, request, timeout_s=self._within_s(timeout_s))

    def get(
        self,
        features: Asked[Typed] | Given[Typed],
        user_id: str,
        *,
        timeout_s: float | None = None,
        **options: Unpack[ReadOptions],
    ) -> Typed:
        """Return one user's features as a class that `streamflow-features codegen` wrote, such as ChurnV1.

        A class whose features are computed from request data is asked for with them:
        `get(SessionV1.given(session_mins=42.5), user_id)`. `options` are the keywords of ReadOptions. The class brings
        its feature service, request data and contract, whatever is bound.

        Raises what `get_user_features` raises; FailedPrecondition if the gateway's contract is another than the one
        that the class was written from.
        """
        kind, query = typed_question(features, options)
        with contract_explained(kind):
            return kind.of(self.get_user_features(user_id, timeout_s=timeout_s, **query))

    def batch_get_user_features(
        self,
        user_ids: Iterable[str],
        *,
        request_data_by_user: Iterable[Mapping[str, RequestDataValue]] = (),
        timeout_s: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> UserFeaturesBatch:
        """Return the same features of several users by one request; `get_users_features` takes any number of users.

        The batch has one result for each user id, in the order of the ids. An error of one user is that user's result
        and is not raised. `options` are the keywords of QueryOptions. A gateway accepts 1,000 users by default.

        `request_data` are those of all users. `request_data_by_user` has those of each user, in the order of the ids:
        as many as there are ids, or none. Names can't be in both. A user id can be repeated with other request data.
        """
        request = batch_request(
            user_ids, request_data_by_user=request_data_by_user, **with_pinned(self._pinned, options)
        )
        batch = batch_of(self._call(self._opened().batch_get, request, timeout_s), request.user_ids)
        # No second request within a caller's budget: `get_users_features` asks for types.
        return self._learned.completed(batch, request)

    def get_users_features(
        self, user_ids: Iterable[str], *, timeout_s: float | None = None, **options: Unpack[ManyOptions]
    ) -> UserFeaturesBatch:
        """Return the same features of any number of users: one result for each user id, in the order of the ids.

        The client asks for as many users in a request as the gateway accepts, and makes some requests at a time.
        `timeout_s` is the deadline of each request. `options` are the keywords of ManyOptions.

        What would fail every request is raised: InvalidArgument, NotFound, FailedPrecondition, Unauthenticated,
        PermissionDenied and Unimplemented. Any other failure is the result of the request's users, so that no answer is
        lost; `raise_for_errors` of the batch raises it.

        All users have features of one contract. Users that gateways answered by another contract than the newest answer
        are asked for again, three times; then FailedPrecondition is raised.
        """
        work = ManyUsers(user_ids, self._learned, self._pinned, **options)
        within_s = self._within_s(timeout_s)
        batch = answers_of(
            work,
            lambda request: self._opened().batch_get.future(
                request, timeout=within_s, metadata=self._opened().metadata()
            ),
        )
        return described(batch, work.selection, self._learned, self._list_services, ends=time.monotonic() + within_s)

    def stream_user_features(
        self,
        questions: Iterable[Question],
        *,
        timeout_s: float | None = None,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
    ) -> Generator[Answer, None, None]:
        """Yield one answer for each question, as `AsyncFeatureClient.stream_user_features` does.

        A thread takes the questions from `questions`. Closing the generator ends the stream.
        """
        return stream_answers_of(
            questions,
            lambda requests: self._opened().stub.StreamUserFeatures(requests, metadata=self._opened().metadata()),
            is_closed=self._closed.is_set,
            pinned=self._pinned,
            timeout_s=self._within_s(timeout_s),
            max_in_flight=max_in_flight,
        )

    def get_online_features(
        self,
        features: Sequence[str] | Named,
        entity_rows: EntityRows,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        *,
        timeout_s: float | None = None,
    ) -> OnlineResponse:
        """Return features of rows of any entity, as Feast's `FeatureStore.get_online_features` does.

        `features` are references, "view:feature", or a feature service, this package's or Feast's. `entity_rows` are
        mappings of join keys and request data to values, or one list of values for each name. With
        `full_feature_names`, features are called "view__feature". An unknown row is not an error: its values are None
        and their status is NOT_FOUND. A gateway accepts 1,000 rows by default. Bound options don't count here.

        Raises TypeError or ValueError for what can't be sent, and FeatureServingError for a call that fails; an error
        of one row fails the call.
        """
        request = online_request(features, entity_rows, full_feature_names=full_feature_names)
        return online_response(self._call(self._opened().feast.GetOnlineFeatures, request, timeout_s))

    def get_feature_service(self, name: str, *, timeout_s: float | None = None) -> FeatureService:
        """Return the contract's description of a feature service. Raises NotFound for an unknown name."""
        request = GetFeatureServiceRequest(name=name)
        return feature_service(self._call(self._opened().stub.GetFeatureService, request, timeout_s))

    def list_feature_services(self, *, timeout_s: float | None = None) -> list[FeatureService]:
        """Return the contract's descriptions of all feature services, in the order of their names."""
        return feature_services(self._list_services(timeout_s))

    def _list_services(self, timeout_s: float | None) -> ListFeatureServicesResponse:
        method, request = self._opened().stub.ListFeatureServices, ListFeatureServicesRequest()
        reply: ListFeatureServicesResponse = self._call(method, request, timeout_s)
        return reply
