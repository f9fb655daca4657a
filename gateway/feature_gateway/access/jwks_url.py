"""Keys that are fetched from their issuer, beside the calls that need them."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

import aiohttp
from streamflow_logs import Event

from feature_gateway.access.jwt_keys import KeySet

_log = logging.getLogger(__name__)

_MAX_BYTES = 2**20
_FETCH_S = 5.0
# A caller may name any key, so callers can't have keys fetched more often.
_LEAST_BETWEEN_S = 5.0
_MOST_WAIT_S = 1.0


class JwksUrl:
    """The keys at a URL: fetched again by the clock, and soon when a token names an unknown one."""

    def __init__(
        self,
        url: str,
        parse: Callable[[bytes], KeySet],
        *,
        refresh_s: float,
        max_age_s: float,
        least_between_s: float = _LEAST_BETWEEN_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create it without keys; `parse` raises ValueError.

        Keys are fetched every `refresh_s`, and dropped when nothing could be fetched for `max_age_s`.
        """
        self._url = url
        self._parse = parse
        self._refresh_s = refresh_s
        self._max_age_s = max_age_s
        self._least_between_s = least_between_s
        self._now_s = now_s
        self._keys: KeySet | None = None
        self._content = b""
        self._fetched_s = 0.0
        self._tried_s = float("-inf")
        self._under_way = False
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self.refused = False
        """Whether the last fetch failed."""

    @property
    def current(self) -> KeySet | None:
        """The keys; None if there are none, or none that are recent enough."""
        if self._keys is not None and self._now_s() - self._fetched_s > self._max_age_s:
            self._keys, self._content = None, b""
        return self._keys

    async def refreshed(self) -> None:
        """Return once keys were fetched anew, at once if they were just now, and after a second in any case.

        All who come during a fetch wait for it: it may be for the same key.
        """
        if not self._under_way:
            if self._now_s() - self._tried_s < self._least_between_s:
                return
            self._wanted.set()
        ended = self._ended
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOST_WAIT_S):
                await ended.wait()

    async def keep(self, changed: Callable[[], object]) -> None:
        """Fetch keys until cancelled, and call `changed` whenever there are other ones, or none any more."""
        # Its own session: no cookies, and no proxy's or file's credentials.
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_FETCH_S), cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                self._wanted.clear()
                self._tried_s, self._under_way = self._now_s(), True
                try:
                    if await self._fetch(session):
                        changed()
                    self.refused = False
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                    if not self.refused:
                        _log.warning(Event("keys not fetched", reason=_why(error), url=self._url))
                    self.refused = True
                    if self._keys is not None and self.current is None:
                        changed()
                except Exception:  # noqa: BLE001  # the next keys must still be fetched
                    self.refused = True
                    _log.exception(Event("unforeseen failure", of="fetch of keys"))
                self._under_way = False
                self._ended.set()
                self._ended = asyncio.Event()
                pause_s = min(self._refresh_s, self._least_between_s) if self.refused else self._refresh_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._wanted.wait()

    async def _fetch(self, session: aiohttp.ClientSession) -> bool:
        """Fetch keys; return whether they are other ones."""
        async with session.get(self._url, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                raise ValueError(f"the answer has the status {answer.status}")
            content = b""
            async for chunk in answer.content.iter_any():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise ValueError(f"the answer has more than {_MAX_BYTES} bytes")
        keys = self._parse(content)
        self._fetched_s = self._now_s()
        if content == self._content:
            return False
        self._keys, self._content = keys, content
        _log.info(Event("keys accepted", url=self._url))
        return True


def _why(error: Exception) -> str:
    """Return what an error says; of others than our own the class, because their texts quote the URL."""
    return str(error) if isinstance(error, ValueError) else type(error).__name__
