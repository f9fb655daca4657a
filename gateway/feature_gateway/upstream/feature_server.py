"""The only place that talks to `feast serve`: one server, over kept-alive connections."""

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import DeadlineExceededError, UpstreamUnavailableError
from feature_gateway.reads import RowsRead
from feature_gateway.upstream.feast_errors import failure_of, without_values
from feature_gateway.upstream.feast_json import parse_rows, request_body
from feature_gateway.upstream.transformations import inputs_of, may_be_of_a_function, transformation_failed

_log = logging.getLogger(__name__)

# Shorter than the 30 s after which `feast serve` closes an idle connection.
_IDLE_CONNECTION_S = 20.0
_MAX_SHOWN_BYTES = 500


class ServerUnreachableError(UpstreamUnavailableError):
    """The connection was refused or broke: the fault is this server's, and another may answer."""


class UnsuccessfulAnswerError(Exception):
    """The cause of an unsuccessful answer's error: status and start of the body without values, for the log only."""


class FeatureServer:
    """Reads rows from one `feast serve`."""

    def __init__(self, url: str, *, session: aiohttp.ClientSession) -> None:
        """Create a client of the server at a base URL, which uses the session's connections."""
        self.url = url
        self._read_url = f"{url}/get-online-features"
        self._health_url = f"{url}/health"
        self._session = session

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> RowsRead:
        """Return one row a key, in order.

        `authorization` is sent on as the Authorization header unless it is empty. Raises DeadlineExceededError after
        `timeout_s`, ServerUnreachableError, TransformationFailedError, and what an unsuccessful answer means.
        """
        headers = {"Authorization": authorization} if authorization else {}
        try:
            async with asyncio.timeout(timeout_s):
                status, answer = await self._post(request_body(feature_set, keys), headers)
                if may_be_of_a_function(feature_set, status, answer):
                    inputs = inputs_of(feature_set, keys)
                    if inputs is None:
                        raise transformation_failed(feature_set)
                    status, answer = await self._post(request_body(*inputs), headers)
                    if status == HTTPStatus.OK:
                        raise transformation_failed(feature_set)
        except TimeoutError as error:
            raise DeadlineExceededError("The deadline passed before the feature server had answered.") from error
        except aiohttp.ClientError as error:
            raise ServerUnreachableError("The feature server can't be reached.") from error
        if status != HTTPStatus.OK:
            _log.debug("feature server %s answered %s: %r", self.url, status, answer)
            shown = without_values(answer, keys)[:_MAX_SHOWN_BYTES]
            raise failure_of(status, answer) from UnsuccessfulAnswerError(f"answered {status}: {shown!r}")
        return parse_rows(answer, feature_set, len(keys))

    async def alive(self, *, timeout_s: float) -> bool:
        """Return whether the process answers, whether or not its stores do."""
        try:
            async with asyncio.timeout(timeout_s), self._session.get(self._health_url) as response:
                return response.status == HTTPStatus.OK
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            return await self._post_once(body, headers)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # A server may close a connection just as it is used again, when it is idle and after each answer of 500; a
            # read can be sent twice.
            return await self._post_once(body, headers)

    async def _post_once(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        async with self._session.post(self._read_url, data=body, headers=headers) as response:
            return response.status, await response.read()


def make_session() -> aiohttp.ClientSession:
    """Return a session for feature servers. Must be called inside a running event loop; no connection is opened yet."""
    return aiohttp.ClientSession(
        # The coalescer bounds the requests in flight.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_S),
        headers={"Content-Type": "application/json"},
        # The callers' deadlines are the only ones.
        timeout=aiohttp.ClientTimeout(total=None),
        # Nothing is shared between callers.
        cookie_jar=aiohttp.DummyCookieJar(),
    )
