"""Calls of `feast serve` by aiohttp."""

from collections.abc import Mapping, Sequence

import aiohttp

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Reply
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.feast_api import FeastHttp

# Each of many kept connections may turn out to be closed when a server has replaced its worker.
_MAX_SENDS = 10
_JSON = {"Content-Type": "application/json"}


class HttpClient:
    """`POST /get-online-features`, on as many kept connections as there are calls at once."""

    def __init__(self, port: int, *, selection: Mapping[str, object], join_key: str) -> None:
        """Creates calls with `selection`: the request's JSON without the users."""
        self.resends = 0
        self._api = FeastHttp(selection, join_key=join_key)
        self._base = f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=_JSON)

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
        """Return the users' values. A request whose connection the server closed is sent again. Raises CallError."""
        request = self._api.request(user_ids)
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        for _ in range(_MAX_SENDS):
            try:
                async with self._session.post(self._base + request.path, data=request.body, timeout=timeout) as reply:
                    content = await reply.read()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                self.resends += 1
                continue
            except (aiohttp.ClientError, TimeoutError) as error:
                raise CallError(type(error).__name__, str(error)) from error
            if not reply.ok:
                raise CallError(f"HTTP {reply.status}", content[:200].decode(errors="replace"))
            return self._api.replies(request, content)
        raise CallError(f"the connection was closed {_MAX_SENDS} times")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
