"""The times of the manifests and of the gateway's settings fit together, so that replacing a pod loses no call.

`loadtests/tests/test_rolling_restart.py` and `test_rolling_update.py` show with processes what these sums count on.
"""

import re

import pytest
from feature_gateway.settings import Settings
from manifests import K8S, Manifests, Workload

_BALANCERS_S = 5
"""Seconds until Services and ingresses send new connections to other pods."""

_DNS_S = _BALANCERS_S + 5
"""Seconds until the cluster's DNS no longer gives the address of a pod that ends."""

_AGE_SPREAD = 0.1
"""By how much of GATEWAY_MAX_CONNECTION_AGE_S a connection can be older."""

_TLS = {"GATEWAY_TLS_CERT_FILE": "/tls/tls.crt", "GATEWAY_TLS_KEY_FILE": "/tls/tls.key"}


def test_a_gateways_end_has_the_time_that_its_drain_takes(manifests: Manifests) -> None:
    settings = _settings(manifests)
    workload = manifests.workload("gateway")
    drain_s = _pre_stop_s(workload) + settings.drain_pause_s + settings.shutdown_grace_s
    assert drain_s < workload.pod["terminationGracePeriodSeconds"]


def test_a_gateway_tells_balancers_before_it_tells_clients(manifests: Manifests) -> None:
    """A client that receives GOAWAY connects again, and must not come back."""
    settings = _settings(manifests)
    pre_stop_s = _pre_stop_s(manifests.workload("gateway"))
    # Until then the gateway answers as before.
    assert pre_stop_s >= _BALANCERS_S
    assert settings.drain_notice_s < settings.drain_pause_s
    # The last GOAWAY comes at the end of the pause, to clients that DNS or a balancer has sent back.
    assert pre_stop_s + settings.drain_pause_s >= _DNS_S


def test_the_connections_of_a_gateway_end_before_it_does(manifests: Manifests) -> None:
    assert _connections_end(_settings(manifests))


def test_the_times_for_a_gateway_with_tls_end_its_connections_and_those_without_tls_do_not(
    manifests: Manifests,
) -> None:
    """Nobody but gRPC can write GOAWAY into TLS, and gRPC does so at a connection's age."""
    data = dict(manifests.find("ConfigMap", "gateway")["data"])
    assert not _connections_end(Settings.from_environment(data | _TLS))
    rows = _readmes_times()
    given = {name: str(cells[1]) for name, cells in rows.items() if name.startswith("GATEWAY_")}
    settings = Settings.from_environment(data | _TLS | given)
    assert _connections_end(settings)
    end_s = _pre_stop_s(manifests.workload("gateway")) + settings.drain_pause_s + settings.shutdown_grace_s
    assert end_s < rows["terminationGracePeriodSeconds"][1]


def test_the_times_that_the_readme_gives_are_those_of_the_manifests(manifests: Manifests) -> None:
    settings, workload = _settings(manifests), manifests.workload("gateway")
    assert {name: cells[0] for name, cells in _readmes_times().items()} == {
        "preStop": _pre_stop_s(workload),
        "GATEWAY_DRAIN_NOTICE_S": settings.drain_notice_s,
        "GATEWAY_DRAIN_PAUSE_S": settings.drain_pause_s,
        "GATEWAY_MAX_CONNECTION_AGE_S": settings.max_connection_age_s,
        "GATEWAY_SHUTDOWN_GRACE_S": settings.shutdown_grace_s,
        "terminationGracePeriodSeconds": workload.pod["terminationGracePeriodSeconds"],
    }


def test_a_feature_server_ends_after_the_gateways_have_left_it(manifests: Manifests) -> None:
    workload = manifests.workload("feature-server")
    assert _pre_stop_s(workload) > _DNS_S + _settings(manifests).dns_interval_s
    gunicorns_grace_s = 30
    assert _pre_stop_s(workload) + gunicorns_grace_s < workload.pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", ["gateway", "feature-server"])
def test_what_serves_leaves_a_lost_node_after_30_s(name: str, manifests: Manifests) -> None:
    found = {
        (each["key"], each["operator"], each["effect"]): each["tolerationSeconds"]
        for each in manifests.workload(name).pod["tolerations"]
    }
    lost = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    assert found == {(key, "Exists", "NoExecute"): 30 for key in lost}


def _connections_end(settings: Settings) -> bool:
    """Return whether each connection ends while the gateway still answers.

    Without TLS, it has clients leave. With TLS, connections reach their age while new ones are refused.
    """
    left_s = settings.drain_pause_s - settings.drain_notice_s
    if settings.tls_cert_file is None:
        return left_s > 0
    return left_s > settings.max_connection_age_s * (1 + _AGE_SPREAD)


def _settings(manifests: Manifests) -> Settings:
    return Settings.from_environment(manifests.find("ConfigMap", "gateway")["data"])


def _pre_stop_s(workload: Workload) -> int:
    (container,) = workload.pod["containers"]
    return int(container["lifecycle"]["preStop"]["sleep"]["seconds"])


def _readmes_times() -> dict[str, tuple[float, float]]:
    """Return the seconds that the README gives to a gateway without TLS and to one with TLS, by the name of each."""
    text = (K8S / "README.md").read_text(encoding="utf-8").partition("**How a pod stops.**")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|]*`(\w+)` \| (\d+) s \| (\d+) s \|$", text, re.MULTILINE)
    return {name: (float(plain), float(tls)) for name, plain, tls in rows}
