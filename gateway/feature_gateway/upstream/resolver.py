"""DNS names that stand for several feature servers, resolved again as they change."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from streamflow_logs import Event

_log = logging.getLogger(__name__)

DNS_SCHEMES = {"dns+http": 80, "dns+https": 443}
"""The schemes of URLs whose host is to be resolved to all of its addresses, such as dns+http://feature-server:6566,
and their ports."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises OSError when there are none."""


def address_in(url: str) -> str:
    """Return the address that a resolved URL leads to; the host of a URL without one."""
    parts = urlsplit(url)
    return parts.fragment or parts.hostname or ""


async def addresses_of(host: str, port: int) -> list[str]:
    """Return a host's IPv4 and IPv6 addresses, as the system resolves it; raise OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, proto=6)
    return [str(address[0]) for _, _, _, _, address in found]


async def resolve(urls: Sequence[str], *, lookup: Lookup = addresses_of) -> list[str]:
    """Return the URLs, each DNS URL replaced by the URLs of its addresses, in a stable order.

    With TLS, they have the name as their host and the address as their fragment.

    Raises OSError if a name can't be resolved, because servers would be missing then.
    """
    resolved: list[str] = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in DNS_SCHEMES or parts.hostname is None:
            resolved.append(url)
            continue
        port = parts.port or DNS_SCHEMES[parts.scheme]
        for address in sorted(set(await lookup(parts.hostname, port))):
            if parts.scheme == "dns+https":
                # Certificates are for names.
                resolved.append(f"https://{parts.hostname}:{port}#{address}")
                continue
            host = f"[{address}]" if ":" in address else address
            resolved.append(f"http://{host}:{port}")
    return list(dict.fromkeys(resolved))


def needs_resolving(urls: Sequence[str]) -> bool:
    """Return whether any of the URLs is a DNS one."""
    return any(urlsplit(url).scheme in DNS_SCHEMES for url in urls)


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
            _log.warning(Event("names not resolved", reason=error, what=what))
        else:
            if found != current:
                _log.info(Event("names resolved", what=what, urls=", ".join(found)))
                use(found)
                current = found
        await asyncio.sleep(interval_s)
