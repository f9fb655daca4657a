"""Which of many feature servers a gateway reads from."""

import hashlib
from collections.abc import Sequence


def subset_of(urls: Sequence[str], size: int, *, instance: str) -> list[str]:
    """Return `size` of the URLs, or all when there are no more or `size` is 0, in the order in which they stand.

    The same for the same instance, different ones for different instances, so that the gateways share the servers out
    among them. A server that comes or goes changes one URL of those instances' that it concerns, and none of others'
    (rendezvous hashing).
    """
    if size == 0 or len(urls) <= size:
        return list(urls)
    chosen = set(sorted(urls, key=lambda url: hashlib.sha256(f"{instance} {url}".encode()).digest())[:size])
    return [url for url in urls if url in chosen]
