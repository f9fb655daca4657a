"""The only place that talks to `feast serve`."""

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp
import orjson

from feature_gateway.contract import FeatureSet
from feature_gateway.errors import DeadlineExceededError, UpstreamMismatchError, UpstreamUnavailableError
from feature_gateway.feast_json import parse_rows, request_body
from feature_gateway.features import UserRow

_log = logging.getLogger(__name__)

# Shorter than the 30 s after which `feast serve` closes an idle connection, so that none is closed under a request.
_IDLE_CONNECTION_S = 20.0
_HEADERS = {"Content-Type": "application/json"}
_MAX_LOGGED_BYTES = 500


class FeatureServer:
    """Reads users' rows from one `feast serve` over kept-alive connections."""

    def __init__(self, url: str, *, join_key: str, max_connections: int) -> None:
        """Take the server's base URL. Must be made inside a running event loop; no connection is opened yet."""
        self._url = f"{url}/get-online-features"
        self._join_key = join_key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=_IDLE_CONNECTION_S),
            headers=_HEADERS,
            # The caller's deadline is the only one.
            timeout=aiohttp.ClientTimeout(total=None),
            # Nothing is shared between callers.
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def read_rows(self, feature_set: FeatureSet, user_ids: Sequence[str], *, timeout_s: float) -> list[UserRow]:
        """Return one row a user, in order.

        Raises DeadlineExceededError after `timeout_s`, UpstreamUnavailableError when the server or its online store
        can't be reached, UpstreamMismatchError when it answers what the contract does not allow.
        """
        body = request_body(feature_set, self._join_key, user_ids)
        try:
            async with asyncio.timeout(timeout_s), self._session.post(self._url, data=body) as response:
                answer = await response.read()
                status = response.status
        except TimeoutError as error:
            raise DeadlineExceededError("The deadline passed before the feature server had answered.") from error
        except aiohttp.ClientError as error:
            _log.warning("feature server %s: %s: %s", self._url, type(error).__name__, error)
            raise UpstreamUnavailableError("The feature server can't be reached.") from error
        if status != HTTPStatus.OK:
            _log.warning("feature server %s answered %d: %s", self._url, status, answer[:_MAX_LOGGED_BYTES])
            raise _failure(status, answer)
        return parse_rows(answer, feature_set, len(user_ids))


def _failure(status: int, body: bytes) -> UpstreamMismatchError | UpstreamUnavailableError:
    """Return the error that an unsuccessful answer means.

    The gateway has checked the request against the contract, so 404 (unknown view), 422 (schema) and a 500 for a
    KeyError (unknown feature of a known view) mean other definitions there. Any other 500 is a fault of the server or
    of its online store (feast 0.67, feature_server.py, has one handler for all of them).
    """
    text = _error_text(body)
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY} or "KeyError" in text:
        return UpstreamMismatchError(
            "The feature server does not know what the contract has: apply the definitions and restart it."
        )
    return UpstreamUnavailableError("The feature server could not read its online store.")


def _error_text(body: bytes) -> str:
    try:
        text = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return text if isinstance(text, str) else body.decode(errors="replace")
