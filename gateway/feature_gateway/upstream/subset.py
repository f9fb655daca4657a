"""Which of many feature servers a gateway reads from."""

import hashlib
from collections.abc import Sequence


def subset_of(urls: Sequence[str], size: int, *, instance: str) -> list[str]:
    """Return `size` of the URLs, or all when there are no more or `size` is 0, in the order in which they stand.

    The result is stable for an instance and differs between instances, so that gateways share the servers. A server
    that comes or goes changes at most one URL of an instance (rendezvous hashing).
    """
    if size == 0 or len(urls) <= size:
        return list(urls)
    chosen = set(sorted(urls, key=lambda url: hashlib.sha256(f"{instance} {url}".encode()).digest())[:size])
    return [url for url in urls if url in chosen]
