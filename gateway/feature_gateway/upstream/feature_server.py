"""The only place that talks to `feast serve`: one server, over kept-alive connections."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus

from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_logs import Event

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import DeadlineExceededError, RejectedRowError, UpstreamUnavailableError
from feature_gateway.reads import RowsRead
from feature_gateway.upstream import rows_route
from feature_gateway.upstream.connection import MAX_ANSWER_MIB, AnswerTooLargeError, ConnectionFailedError
from feature_gateway.upstream.connections import Connections
from feature_gateway.upstream.feast_errors import failure_of, known_words
from feature_gateway.upstream.feast_json import parse_rows, request_body
from feature_gateway.upstream.origin import Origin
from feature_gateway.upstream.transformations import (
    inputs_of,
    keys_for,
    may_be_of_a_function,
    transformation_failed,
)

_log = logging.getLogger(__name__)


class ServerUnreachableError(UpstreamUnavailableError):
    """The connection was refused or broke: the fault is this server's, and another may answer."""


class UnsuccessfulAnswerError(Exception):
    """The cause of an unsuccessful answer's error: status and known words of the body, for the log only."""


class FeatureServer:
    """Reads rows from one `feast serve`."""

    def __init__(self, url: str, *, connections: Connections) -> None:
        """Create a client of the server at a base URL, which uses the connections."""
        self.url = url
        self._origin = Origin(url)
        self._connections = connections

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> RowsRead:
        """Return one row a key, in order.

        `authorization` is sent on as the Authorization header unless it is empty. Raises DeadlineExceededError after
        `timeout_s`, ServerUnreachableError, TransformationFailedError, RejectedRowError for an answer that is too
        large, and what an unsuccessful answer means.
        """
        try:
            async with asyncio.timeout(timeout_s):
                stored = await self._stored(feature_set, keys, authorization)
                if stored is not None:
                    return self._parsed(stored, lambda answer: rows_route.parse(answer, feature_set, len(keys)))
                status, answer = await self._post(request_body(feature_set, keys), authorization)
                if may_be_of_a_function(feature_set, status, answer):
                    inputs = inputs_of(feature_set, keys)
                    if inputs is None:
                        raise transformation_failed(feature_set)
                    status, answer = await self._post(request_body(*inputs), authorization)
                    if status == HTTPStatus.OK:
                        raise transformation_failed(feature_set)
                apart, beside = feature_set.read_apart, b""
                if apart is not None and status == HTTPStatus.OK:
                    status, beside = await self._post(
                        request_body(apart, keys_for(apart, feature_set, keys)), authorization
                    )
                    answer = answer if status == HTTPStatus.OK else beside
        except TimeoutError as error:
            raise DeadlineExceededError("The deadline passed before the feature server had answered.") from error
        except AnswerTooLargeError as error:
            # A read of fewer rows has a smaller answer.
            least = "call" if feature_set.reads_whole_calls else "row"
            raise RejectedRowError(
                ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
                f"The feature server's answer is larger than {MAX_ANSWER_MIB} MiB, even for this {least} alone.",
            ) from error
        except ConnectionFailedError as error:
            raise ServerUnreachableError("The feature server can't be reached.") from error
        return self._parsed((status, answer), lambda answer: parse_rows(answer, feature_set, len(keys), beside=beside))

    async def alive(self, *, timeout_s: float) -> bool:
        """Return whether the process answers, whether or not its stores do."""
        head = self._origin.head("GET", "/health")
        try:
            async with asyncio.timeout(timeout_s):
                status, _ = await self._connections.ask(self._origin, lambda connection: connection.request(head, b""))
        except (TimeoutError, ConnectionFailedError):
            return False
        return status == HTTPStatus.OK

    def _parsed(self, answered: tuple[int, bytes], parse: Callable[[bytes], RowsRead]) -> RowsRead:
        status, answer = answered
        if status != HTTPStatus.OK:
            _log.debug(Event("feature server answered", feature_server=self.url, status=status, answer=answer))
            raise failure_of(status, answer) from UnsuccessfulAnswerError(f"answered {status}: {known_words(answer)}")
        return parse(answer)

    async def _stored(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], authorization: str
    ) -> tuple[int, bytes] | None:
        """Return the answer of the route for rows as they are stored; None where that route has none."""
        body = rows_route.body_for(feature_set, keys)
        if body is None:
            return None
        return await self._connections.ask(
            self._origin,
            lambda connection: rows_route.answered(
                connection, self._origin, body, row_count=len(keys), authorization=authorization
            ),
        )

    async def _post(self, body: bytes, authorization: str) -> tuple[int, bytes]:
        head = self._origin.head(
            "POST",
            "/get-online-features",
            content_type="application/json",
            length=len(body),
            authorization=authorization,
        )
        return await self._connections.ask(self._origin, lambda connection: connection.request(head, body))
