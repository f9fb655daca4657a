"""This gateway's share of the feature servers, as servers and gateways come and go."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from feature_gateway.upstream.resolver import address_in, follow_names, needs_resolving
from feature_gateway.upstream.subset import balanced_subset_of, subset_of

Use = Callable[[Sequence[str]], None]
"""Takes the URLs of the feature servers to read from."""


class Share:
    """Chooses the feature servers of this gateway: a balanced part while the gateways are known, else a random one."""

    def __init__(self, size: int, *, instance: str, own_of: Callable[[Sequence[str]], str | None], use: Use) -> None:
        """Create a share of `size` servers, or of all if it is 0; `use` is called with the servers when they change.

        `own_of` returns which of the gateways' URLs is this gateway's. `instance` is its name while that is not known.
        """
        self._size = size
        self._instance = instance
        self._own_of = own_of
        self._use = use
        self._servers: Sequence[str] = ()
        self._gateways: Sequence[str] = ()
        self._used: Sequence[str] | None = None

    def follow(
        self, servers: Sequence[str], gateways: Sequence[str], *, interval_s: float
    ) -> Coroutine[None, None, None]:
        """Use the URLs that need no resolving; return what follows the others, to be run until cancelled."""
        named: list[tuple[Sequence[str], Use, str]] = []
        for urls, use, what in (
            (gateways, self.set_gateways, "gateways"),
            (servers, self.set_servers, "feature servers"),
        ):
            if needs_resolving(urls):
                named.append((urls, use, what))
            else:
                use(urls)

        async def followed() -> None:
            await asyncio.gather(
                *(follow_names(urls, use, what=what, interval_s=interval_s) for urls, use, what in named)
            )

        return followed()

    def set_servers(self, urls: Sequence[str]) -> None:
        """Choose from these feature servers."""
        self._servers = urls
        self._choose()

    def set_gateways(self, urls: Sequence[str]) -> None:
        """Share with these gateways, this one included; with nobody known if this gateway is not among them."""
        # A host with addresses of both families is one gateway.
        self._gateways = [url for url in urls if ":" not in address_in(url)] or urls
        self._choose()

    def _choose(self) -> None:
        own = self._own_of(self._gateways)
        if own is None:
            chosen = subset_of(self._servers, self._size, instance=self._instance)
        else:
            chosen = balanced_subset_of(self._servers, self._size, peers=self._gateways, instance=own)
        if chosen != self._used:
            self._used = chosen
            self._use(chosen)


def share_of_gateway(size: int, *, bind_address: str, port: int, use: Use) -> Share:
    """Return the share of the gateway that listens on an address and a port."""
    # Each pod has a host name of its own. Gateways on one host have different ports.
    instance = f"{socket.gethostname()}:{port}"
    return Share(size, instance=instance, own_of=partial(own_url, bind_address=bind_address, port=port), use=use)


def own_url(urls: Sequence[str], *, bind_address: str, port: int) -> str | None:
    """Return which of the URLs is of a server of this process's host; None if that is none of them, or several."""
    own = [url for url in urls if urlsplit(url).port == port and _is_own(address_in(url), bind_address)]
    return own[0] if len(own) == 1 else None


def _is_own(host: str, bind_address: str) -> bool:
    with suppress(ValueError):
        address, bound = ipaddress.ip_address(host), ipaddress.ip_address(bind_address)
        return _is_local(address) if bound.is_unspecified else address == bound
    return host in {bind_address, socket.gethostname()}


def _is_local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address is one of this host's: only these can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
