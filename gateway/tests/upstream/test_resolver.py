"""A DNS name stands for all of its addresses, as they come and go."""

import asyncio
from collections.abc import Sequence

from feature_gateway.upstream.resolver import address_in, addresses_of, follow_names, needs_resolving, resolve


class Names:
    """A name service whose answers a test sets; None for a failure."""

    def __init__(self, *answers: Sequence[str] | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise OSError("no such name")
        return answer


async def test_a_name_becomes_its_addresses_and_other_urls_stay() -> None:
    names = Names(["10.0.0.2", "10.0.0.1", "10.0.0.2", "fe80::1"])
    urls = await resolve(["https://other:1", "dns+http://feast:6566"], lookup=names)
    assert urls == ["https://other:1", "http://10.0.0.1:6566", "http://10.0.0.2:6566", "http://[fe80::1]:6566"]
    assert names.asked == [("feast", 6566)]


async def test_with_tls_the_name_stays_beside_its_addresses() -> None:
    urls = await resolve(["dns+https://feast:6566"], lookup=Names(["10.0.0.2", "fe80::1"]))
    assert urls == ["https://feast:6566#10.0.0.2", "https://feast:6566#fe80::1"]
    assert [address_in(url) for url in urls] == ["10.0.0.2", "fe80::1"]


async def test_the_port_is_that_of_the_scheme_when_none_is_named() -> None:
    assert await resolve(["dns+http://feast"], lookup=Names(["10.0.0.1"])) == ["http://10.0.0.1:80"]
    assert await resolve(["dns+https://feast"], lookup=Names(["10.0.0.1"])) == ["https://feast:443#10.0.0.1"]


async def test_the_system_resolves_localhost() -> None:
    assert set(await addresses_of("localhost", 80)) <= {"127.0.0.1", "::1"}


def test_only_dns_urls_need_resolving() -> None:
    assert needs_resolving(["http://a", "dns+http://b"])
    assert not needs_resolving(["http://a", "https://b"])


async def test_changes_are_followed_and_a_failing_name_service_changes_nothing() -> None:
    names = Names(["10.0.0.1"], ["10.0.0.1"], None, ["10.0.0.1", "10.0.0.2"], ["10.0.0.2"])
    used: list[Sequence[str]] = []
    done = asyncio.Event()

    def use(urls: Sequence[str]) -> None:
        used.append(urls)
        if len(used) == 3:
            done.set()

    following = asyncio.create_task(follow_names(["dns+http://feast:1"], use, interval_s=0, lookup=names))
    async with asyncio.timeout(20):
        await done.wait()
    following.cancel()
    assert used == [["http://10.0.0.1:1"], ["http://10.0.0.1:1", "http://10.0.0.2:1"], ["http://10.0.0.2:1"]]
