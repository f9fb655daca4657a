"""DNS names that stand for several feature servers, resolved again as they change."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

_log = logging.getLogger(__name__)

DNS_SCHEME = "dns+http"
"""The scheme of a URL whose host is to be resolved to all of its addresses, such as dns+http://feature-server:6566."""

DEFAULT_PORT = 80

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises OSError when there are none."""


async def addresses_of(host: str, port: int) -> list[str]:
    """Return a host's IPv4 and IPv6 addresses, as the system resolves it; raise OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, proto=6)
    return [str(address[0]) for _, _, _, _, address in found]


async def resolve(urls: Sequence[str], *, lookup: Lookup = addresses_of) -> list[str]:
    """Return the URLs, each DNS URL replaced by the URLs of its addresses, in a stable order.

    Raises OSError if a name can't be resolved, because servers would be missing then.
    """
    resolved: list[str] = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != DNS_SCHEME or parts.hostname is None:
            resolved.append(url)
            continue
        port = parts.port or DEFAULT_PORT
        for address in sorted(set(await lookup(parts.hostname, port))):
            host = f"[{address}]" if ":" in address else address
            resolved.append(f"http://{host}:{port}")
    return list(dict.fromkeys(resolved))


def needs_resolving(urls: Sequence[str]) -> bool:
    """Return whether any of the URLs is a DNS one."""
    return any(urlsplit(url).scheme == DNS_SCHEME for url in urls)


async def follow_names(
    urls: Sequence[str],
    use: Callable[[Sequence[str]], None],
    *,
    interval_s: float,
    lookup: Lookup = addresses_of,
    what: str = "feature servers",
) -> None:
    """Call `use` with the resolved URLs at once and whenever they change; run until cancelled.

    While a name can't be resolved, the URLs found last stay in use.
    """
    current: list[str] | None = None
    while True:
        try:
            found = await resolve(urls, lookup=lookup)
        except OSError as error:
            _log.warning("%s can't be resolved, the known ones stay: %s", what, error)
        else:
            if found != current:
                _log.info("%s: %s", what, ", ".join(found))
                use(found)
                current = found
        await asyncio.sleep(interval_s)
