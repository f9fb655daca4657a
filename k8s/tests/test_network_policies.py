"""With network policies, pods reach only what they need. Only gateways reach the feature servers' write endpoints.

The tests compute from the manifests who may connect to whom, by Kubernetes' rules. They send no packets: that needs a
cluster whose network plugin enforces policies.
"""

import pytest
import yaml
from manifests import K8S, OPTIONAL, Combination, Manifests
from network import Peer, may_connect, peer

_CLIENT = Peer({"app": "model"}, namespace={"streamflow/features-client": "true"})
_METRICS = Peer({"app": "prometheus"}, namespace={"streamflow/metrics-reader": "true"})
_STRANGER = Peer({"app": "stranger"}, namespace={})
_SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}
_OPENSHIFT = {"kubernetes.io/metadata.name": "openshift-dns"}
_DNS = {
    "CoreDNS": (Peer({"k8s-app": "kube-dns"}, namespace=_SYSTEM), 53),
    "NodeLocal DNSCache": (Peer({}, address="169.254.20.10"), 53),
    "a cloud's DNS": (Peer({}, address="169.254.169.254"), 53),
    "OpenShift": (Peer({"dns.operator.openshift.io/daemonset-dns": "default"}, namespace=_OPENSHIFT), 5353),
}
"""Where clusters' DNS listens; policies see the port of the pod, not of its Service."""


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
        jobs = {"apply", "load-sample", "ingest", "materialize", "audit-skew", "training-set"}
        assert reaching == {"feature-server", *jobs}
        assert not may_connect(local, _CLIENT, store, port)


def test_gateways_are_reached_by_namespaces_that_are_labelled(local: Manifests) -> None:
    gateway = peer(local, "gateway")
    reached = {
        (name, port): may_connect(local, other, gateway, port)
        for name, other in (("client", _CLIENT), ("metrics", _METRICS), ("stranger", _STRANGER))
        for port in (50051, 8000, 8001)
    }
    assert reached == {
        ("client", 50051): True,
        ("client", 8000): True,
        ("client", 8001): False,
        ("metrics", 50051): False,
        ("metrics", 8000): False,
        ("metrics", 8001): True,
        ("stranger", 50051): False,
        ("stranger", 8000): False,
        ("stranger", 8001): False,
    }
    assert may_connect(local, peer(local, "audit-skew"), gateway, 50051)


def test_what_answers_an_attacker_in_each_pod_is_what_the_pod_is_for(local: Manifests) -> None:
    stores = {"postgres:5432", "redis:6379"}
    gateway = {"gateway:50051", "gateway:8000"}
    attackers = {found.name: peer(local, found.name) for found in local.workloads()} | {
        "a pod of the namespace": Peer({"app": "stranger"}),
        "a client of the namespace": Peer({"streamflow/features-client": "true"}),
        "a client of a labelled namespace": _CLIENT,
        "a scraper of a labelled namespace": _METRICS,
        "a pod of another namespace": _STRANGER,
        "a host outside": Peer({}, address="198.51.100.7"),
    }
    table = {
        "gateway": {"feature-server:6566"},
        "feature-server": stores,
        "apply": stores,
        "load-sample": stores,
        "materialize": stores,
        "training-set": stores,
        "ingest": stores,
        "files": set(),
        "audit-skew": stores | {"gateway:50051"},
        "postgres": set(),
        "redis": set(),
        "a pod of the namespace": set(),
        # Its own egress is denied, until a policy of its own lets it out.
        "a client of the namespace": set(),
        "a client of a labelled namespace": gateway,
        "a scraper of a labelled namespace": {"gateway:8001"},
        "a pod of another namespace": set(),
        "a host outside": set(),
    }
    assert {name: _answering(local, attacker) for name, attacker in attackers.items()} == table


def _answering(manifests: Manifests, attacker: Peer) -> set[str]:
    """What lets a pod connect: the workload and its port, for each port of each workload."""
    return {
        f"{target.name}:{port}"
        for target in manifests.workloads()
        for port in target.ports().values()
        if may_connect(manifests, attacker, peer(manifests, target.name), port)
    }


def test_nothing_gets_out_but_to_named_destinations(local: Manifests) -> None:
    stores, elsewhere = Peer({}, address="192.0.2.9"), Peer({}, address="198.51.100.7")
    for workload in local.workloads():
        pod = peer(local, workload.name)
        assert not any(may_connect(local, pod, elsewhere, port) for port in (80, 443, 5432, 6379)), workload.name
        to_stores = {port for port in (80, 443, 5432, 6379) if may_connect(local, pod, stores, port)}
        assert to_stores in (set(), {5432, 6379}), workload.name


@pytest.mark.parametrize("where", _DNS)
def test_every_pod_reaches_the_clusters_dns(local: Manifests, where: str) -> None:
    server, port = _DNS[where]
    for workload in local.workloads():
        pod = peer(local, workload.name)
        assert all(may_connect(local, pod, server, port, protocol=protocol) for protocol in ("UDP", "TCP"))
        assert not may_connect(local, pod, server, 443)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_every_overlay_has_the_policies(overlay: str) -> None:
    kustomization = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8"))
    assert "../../components/network-policies" in kustomization["components"]


def test_jobs_but_the_audit_do_not_reach_a_gateway(local: Manifests) -> None:
    gateway = peer(local, "gateway")
    assert not any(
        may_connect(local, peer(local, name), gateway, 50051)
        for name in ("apply", "ingest", "materialize", "training-set")
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
