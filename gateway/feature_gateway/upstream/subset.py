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


def balanced_subset_of(urls: Sequence[str], size: int, *, peers: Sequence[str], instance: str) -> list[str]:
    """Return this instance's part of the URLs, in the order in which they stand; all of them if `size` is 0.

    Each of `peers`, which has the instance, gets `size` URLs, or more if URLs would otherwise be nobody's. Each URL is
    in the parts of the same number of peers, give or take one. All peers that know the same URLs and the same peers
    compute the same parts, and few parts change when one of them comes or goes (rendezvous hashing with bounded loads).
    """
    size = max(size, -(-len(urls) // len(peers))) if size else len(urls)
    if len(urls) <= size:
        return list(urls)
    part = _parts(sorted(set(urls)), size, sorted(set(peers)))[instance]
    return [url for url in urls if url in part]


def _parts(urls: Sequence[str], size: int, peers: Sequence[str]) -> dict[str, set[str]]:
    # So many peers each URL has, and so many URLs have one more.
    low, remainder = divmod(len(peers) * size, len(urls))
    pairs = sorted(
        (hashlib.blake2b(f"{peer} {url}".encode(), digest_size=8).digest(), peer, url) for peer in peers for url in urls
    )
    parts: dict[str, set[str]] = {peer: set() for peer in peers}
    loads = dict.fromkeys(urls, 0)
    for limit in (low, low + 1):
        for _, peer, url in pairs:
            fits = loads[url] < limit and (limit == low or remainder)
            if fits and len(parts[peer]) < size and url not in parts[peer]:
                parts[peer].add(url)
                loads[url] += 1
                remainder -= limit > low
    _fill_up(parts, loads, size, pairs)
    return parts


def _fill_up(
    parts: dict[str, set[str]], loads: dict[str, int], size: int, pairs: Sequence[tuple[bytes, str, str]]
) -> None:
    """Give peers what they lack: where only their own URLs have room, another peer takes one of these for one of its.

    Such a peer exists: a URL with room is not in all parts, and each full part has a URL that the lacking part has not.
    """
    for part in parts.values():
        while len(part) < size:
            _, _, spare = min((load, url not in part, url) for url, load in loads.items())
            if spare in part:
                _, other, url = next(
                    pair
                    for pair in pairs
                    if pair[2] in parts[pair[1]] and pair[2] not in part and spare not in parts[pair[1]]
                )
                parts[other].remove(url)
                parts[other].add(spare)
                part.add(url)
            else:
                part.add(spare)
            loads[spare] += 1
