"""Which pod may connect to which pod by the NetworkPolicies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from manifests import Manifests


@dataclass(frozen=True)
class Peer:
    """A pod, described by what policies know about the pod."""

    labels: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    namespace: Mapping[str, str] | None = None
    """The labels of the pod's namespace; None for the namespace of the policies."""

    address: str | None = None
    """The address of a host outside of the cluster; None for a pod."""


def peer(manifests: Manifests, name: str) -> Peer:
    """Return a workload's pod."""
    workload = manifests.workload(name)
    return Peer(workload.labels, workload.ports())


def may_connect(manifests: Manifests, source: Peer, target: Peer, port: int, *, protocol: str = "TCP") -> bool:
    """Return whether policies allow a pod to connect to a port of another pod."""
    policies = [document["spec"] for document in manifests.of_kind("NetworkPolicy")]
    asked = (port, protocol)
    return _lets(policies, "Egress", source, target, asked) and _lets(policies, "Ingress", target, source, asked)


def _lets(policies: list[Mapping[str, Any]], direction: str, pod: Peer, other: Peer, asked: tuple[int, str]) -> bool:
    """Return whether the policies of `pod` allow traffic with `other`; `asked` is of the pod that listens."""
    if pod.namespace is not None or pod.address is not None:
        return True
    own = [
        policy
        for policy in policies
        if direction in policy["policyTypes"] and _selects(policy["podSelector"], pod.labels)
    ]
    peers, listener = ("to", other) if direction == "Egress" else ("from", pod)
    rules = [rule for policy in own for rule in policy.get(direction.lower(), ())]
    return not own or any(
        (peers not in rule or any(_is_peer(found, other) for found in rule[peers]))
        and ("ports" not in rule or any(_is_port(found, asked, listener) for found in rule["ports"]))
        for rule in rules
    )


def _is_peer(found: Mapping[str, Any], other: Peer) -> bool:
    assert found.keys() <= {"podSelector", "namespaceSelector", "ipBlock"}
    if other.address is not None or "ipBlock" in found:
        return (
            other.address is not None
            and "ipBlock" in found
            and ip_address(other.address) in ip_network(found["ipBlock"]["cidr"])
        )
    if "namespaceSelector" in found:
        if other.namespace is None or not _selects(found["namespaceSelector"], other.namespace):
            return False
    elif other.namespace is not None:
        return False
    return _selects(found.get("podSelector", {}), other.labels)


def _is_port(found: Mapping[str, Any], asked: tuple[int, str], listener: Peer) -> bool:
    named = found["port"]
    number = listener.ports.get(named) if isinstance(named, str) else named
    return (number, found.get("protocol", "TCP")) == asked


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )
