"""Gateways share feature servers out among them, so that each has few and its calls meet in few reads."""

import dataclasses
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import pytest
from feature_gateway.settings import Settings
from feature_gateway.upstream.share import Share, own_url
from feature_gateway.upstream.subset import balanced_subset_of, subset_of
from gateway_fakes import FakeFeatureServer, running_feature_server, serving
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_URLS = [f"http://10.0.{number // 250}.{number % 250}:6566" for number in range(60)]


@given(urls=st.lists(st.sampled_from(_URLS), unique=True), size=st.integers(0, 8), instance=st.text())
def test_it_is_as_many_as_asked_for_in_their_order_and_the_same_again(
    urls: list[str], size: int, instance: str
) -> None:
    chosen = subset_of(urls, size, instance=instance)
    assert len(chosen) == (min(size, len(urls)) if size else len(urls))
    assert chosen == [url for url in urls if url in chosen] == subset_of(urls, size, instance=instance)


@given(size=st.integers(1, 4), gone=st.sampled_from(_URLS), instance=st.text())
def test_a_server_that_goes_costs_only_those_who_had_it_and_those_one(size: int, gone: str, instance: str) -> None:
    before = subset_of(_URLS, size, instance=instance)
    after = subset_of([url for url in _URLS if url != gone], size, instance=instance)
    assert len(set(before) - set(after)) == (gone in before)


def test_every_server_is_some_gateways() -> None:
    gateways = [subset_of(_URLS, 3, instance=f"gateway-{number}:50051") for number in range(200)]
    shares = {url: sum(url in chosen for chosen in gateways) for url in _URLS}
    # Ten each on average.
    assert 1 <= min(shares.values()) <= max(shares.values()) <= 25


@pytest.mark.parametrize(("size", "asked"), [(0, 3), (2, 2), (1, 1), (5, 3)])
async def test_a_gateway_reads_from_its_own_only(
    settings: Settings, feature_server: FakeFeatureServer, size: int, asked: int
) -> None:
    async with running_feature_server() as second, running_feature_server() as third:
        servers = [feature_server, second, third]
        urls = tuple(server.url for server in servers)
        settings = dataclasses.replace(settings, feature_server_urls=urls, feature_server_subset_size=size)
        async with serving(settings) as gateway:
            for number in range(12):
                request = GetUserFeaturesRequest(user_id=f"{number:04d}-AAAAA")
                await gateway.stub.GetUserFeatures(request, timeout=20)
    assert sum(bool(server.requests) for server in servers) == asked


def _parts(gateways: Sequence[str], urls: Sequence[str], size: int) -> dict[str, list[str]]:
    return {gateway: balanced_subset_of(urls, size, peers=gateways, instance=gateway) for gateway in gateways}


def _loads(parts: dict[str, list[str]], urls: Sequence[str]) -> list[int]:
    return [sum(url in part for part in parts.values()) for url in urls]


_GATEWAYS = [f"http://10.1.0.{number}:50051" for number in range(24)]


@settings_of(max_examples=200)
@given(
    urls=st.lists(st.sampled_from(_URLS), unique=True, min_size=1, max_size=20),
    gateways=st.lists(st.sampled_from(_GATEWAYS), unique=True, min_size=1, max_size=20),
    size=st.integers(1, 6),
)
def test_each_server_has_the_same_number_of_gateways_give_or_take_one(
    urls: list[str], gateways: list[str], size: int
) -> None:
    parts = _parts(gateways, urls, size)
    loads = _loads(parts, urls)
    assert max(loads) - min(loads) <= 1
    assert min(loads) > 0
    assert {len(part) for part in parts.values()} == {min(len(urls), max(size, -(-len(urls) // len(gateways))))}
    # Whatever the order in which a gateway learned of the others.
    assert parts == {
        gateway: [url for url in urls if url in part]
        for gateway, part in _parts(gateways[::-1], urls[::-1], size).items()
    }


@pytest.mark.parametrize(("gateways", "most"), [(12, 3), (3, 1), (24, 6)])
def test_of_twelve_servers_none_is_idle_and_none_is_busier(gateways: int, most: int) -> None:
    assert set(_loads(_parts(_GATEWAYS[:gateways], _URLS[:12], 3), _URLS[:12])) == {most}


def test_one_that_comes_changes_few_pairs() -> None:
    before = _parts(_GATEWAYS[:12], _URLS[:12], 3)
    more_servers, more_gateways = _parts(_GATEWAYS[:12], _URLS[:13], 3), _parts(_GATEWAYS[:13], _URLS[:12], 3)
    for after in (more_servers, more_gateways):
        assert sum(len({*part} - {*after[gateway]}) for gateway, part in before.items()) <= 12


def test_all_servers_are_a_part_of_size_0() -> None:
    assert balanced_subset_of(_URLS, 0, peers=_GATEWAYS, instance=_GATEWAYS[0]) == _URLS


@pytest.mark.parametrize(
    ("urls", "bind_address", "own"),
    [
        (["http://192.0.2.1:50051", "http://127.0.0.1:50051"], "0.0.0.0", 1),  # noqa: S104  # nothing is bound
        (["http://127.0.0.1:50052", "http://127.0.0.1:50051"], "127.0.0.1", 1),
        (["http://127.0.0.2:50051", "http://127.0.0.1:50051"], "127.0.0.1", 1),
        # Two of them can be bound.
        (["http://127.0.0.2:50051", "http://127.0.0.1:50051"], "0.0.0.0", None),  # noqa: S104
        (["http://192.0.2.1:50051"], "0.0.0.0", None),  # noqa: S104
        (["http://other:50051", f"http://{socket.gethostname()}:50051"], "0.0.0.0", 1),  # noqa: S104
        ([], "0.0.0.0", None),  # noqa: S104
    ],
)
def test_a_gateway_finds_its_own_url_by_port_and_address(urls: list[str], bind_address: str, own: int | None) -> None:
    assert own_url(urls, bind_address=bind_address, port=50051) == (None if own is None else urls[own])


def test_a_share_is_balanced_while_the_gateways_are_known_and_the_instances_own_otherwise() -> None:
    used: list[Sequence[str]] = []
    own = _GATEWAYS[0]
    share = Share(3, instance="here:1", own_of=lambda urls: own if own in urls else None, use=used.append)
    share.set_servers(_URLS[:12])
    share.set_gateways([*_GATEWAYS[:12], "http://[fe80::1]:50051"])
    share.set_gateways(_GATEWAYS[:12])
    share.set_gateways(_GATEWAYS[1:12])
    alone = subset_of(_URLS[:12], 3, instance="here:1")
    balanced = balanced_subset_of(_URLS[:12], 3, peers=_GATEWAYS[:12], instance=_GATEWAYS[0])
    assert used == [alone, balanced, alone]


async def test_gateways_that_know_each_other_leave_no_server_idle(
    settings: Settings, feature_server: FakeFeatureServer, unused_tcp_port_factory: Callable[[], int]
) -> None:
    ports = [unused_tcp_port_factory() for _ in range(2)]
    peers = tuple(f"http://127.0.0.1:{port}" for port in ports)
    async with running_feature_server() as second, AsyncExitStack() as stack:
        servers = (feature_server, second)
        for port in ports:
            gateway = await stack.enter_async_context(
                serving(
                    dataclasses.replace(
                        settings,
                        grpc_port=port,
                        feature_server_urls=tuple(server.url for server in servers),
                        feature_server_subset_size=1,
                        peer_urls=peers,
                    )
                )
            )
            await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="0001-AAAAA"), timeout=20)
        assert [len(server.requests) for server in servers] == [1, 1]
