"""With network policies, pods reach only what they need. Only gateways reach the feature servers' write endpoints."""

import pytest
from manifests import OPTIONAL, Combination, Manifests
from network import Peer, may_connect, peer

_CLIENT = Peer({"app": "model"}, namespace={"streamflow/features-client": "true"})
_METRICS = Peer({"app": "prometheus"}, namespace={"streamflow/metrics-reader": "true"})
_STRANGER = Peer({"app": "stranger"}, namespace={})


@pytest.fixture
def local(built: dict[Combination, Manifests]) -> Manifests:
    """The overlay that has its own stores, which policies protect."""
    return built["local", ("network-policies",)]


def test_only_gateways_reach_a_feature_server(local: Manifests) -> None:
    server = peer(local, "feature-server")
    reaching = {found.name for found in local.workloads() if may_connect(local, peer(local, found.name), server, 6566)}
    assert reaching == {"gateway"}
    assert not any(may_connect(local, other, server, 6566) for other in (_CLIENT, _METRICS, _STRANGER))


def test_stores_are_reached_by_feature_servers_and_jobs(local: Manifests) -> None:
    for name, port in (("postgres", 5432), ("redis", 6379)):
        store = peer(local, name)
        reaching = {
            found.name for found in local.workloads() if may_connect(local, peer(local, found.name), store, port)
        }
        assert reaching == {"feature-server", "apply", "materialize", "audit-skew", "training-set", "load-sample"}
        assert not may_connect(local, _CLIENT, store, port)


def test_gateways_are_reached_by_namespaces_that_are_labelled(local: Manifests) -> None:
    gateway = peer(local, "gateway")
    reached = {
        (name, port): may_connect(local, other, gateway, port)
        for name, other in (("client", _CLIENT), ("metrics", _METRICS), ("stranger", _STRANGER))
        for port in (50051, 8000)
    }
    assert reached == {
        ("client", 50051): True,
        ("client", 8000): True,
        ("metrics", 50051): False,
        ("metrics", 8000): True,
        ("stranger", 50051): False,
        ("stranger", 8000): False,
    }
    assert may_connect(local, peer(local, "audit-skew"), gateway, 50051)


def test_jobs_but_the_audit_do_not_reach_a_gateway(local: Manifests) -> None:
    gateway = peer(local, "gateway")
    assert not any(
        may_connect(local, peer(local, name), gateway, 50051) for name in ("apply", "materialize", "training-set")
    )


def test_a_redis_clusters_nodes_reach_each_other(built: dict[Combination, Manifests]) -> None:
    manifests = built["production", OPTIONAL]
    node = peer(manifests, "redis-cluster")
    assert all(may_connect(manifests, node, node, port) for port in (6379, 16379))
    assert may_connect(manifests, peer(manifests, "feature-server"), node, 6379)
    assert may_connect(manifests, peer(manifests, "redis-cluster-form"), node, 6379)
    assert not may_connect(manifests, peer(manifests, "feature-server"), node, 16379)


def test_without_policies_all_is_open(built: dict[Combination, Manifests]) -> None:
    manifests = built["local", ()]
    assert may_connect(manifests, _STRANGER, peer(manifests, "feature-server"), 6566)
