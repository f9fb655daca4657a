"""Gateways share feature servers out among them, so that each has few and its calls meet in few reads."""

import dataclasses

import pytest
from feature_gateway.settings import Settings
from feature_gateway.upstream.subset import subset_of
from gateway_fakes import FakeFeatureServer, running_feature_server, serving
from hypothesis import given
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
