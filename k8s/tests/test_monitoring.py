"""The component monitoring brings rules, dashboards and what is scraped to clusters with the Prometheus operator."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from jsonschema import Draft202012Validator
from manifests import CHECKOUT, NEEDS_AN_OPERATOR, OPTIONAL, OVERLAYS, Copy, Manifests
from network import Peer, may_connect, peer

_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_DEFINITIONS = "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml"
_PLURALS = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
_METRICS = {"streamflow/metrics-reader": "true"}
_DOWNLOAD_TIMEOUT_S = 200
_FOLDER = CHECKOUT / "monitoring"


@pytest.fixture(
    scope="module",
    params=[(overlay, chosen) for overlay in OVERLAYS for chosen in (("network-policies",), OPTIONAL)],
    ids=str,
)
def monitored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Each overlay with the component: once with the policies, and once with all components."""
    overlay, chosen = request.param
    return Copy(tmp_path_factory.mktemp("monitoring") / "copy").build(overlay, (NEEDS_AN_OPERATOR, *chosen))


@pytest.fixture(scope="module")
def definitions() -> Path:
    """The operator's own definitions of its documents, from Go's proxy of modules."""
    if shutil.which("go") is None:
        pytest.skip("Go downloads the Prometheus operator's definitions, and there is no go")
    downloaded = subprocess.run(
        ["go", "mod", "download", "-json", _OPERATOR],
        check=False,
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_TIMEOUT_S,
        env=os.environ | {"GOFLAGS": "-mod=mod"},
    )
    if downloaded.returncode != 0:
        pytest.skip(f"the Prometheus operator's definitions can't be downloaded: {downloaded.stdout[-500:]}")
    return Path(json.loads(downloaded.stdout)["Dir"])


def test_every_document_is_valid_by_the_operators_definitions(monitored: Manifests, definitions: Path) -> None:
    found = monitored.of_kind(*_PLURALS)
    assert {document["kind"] for document in found} == set(_PLURALS)
    for document in found:
        schema = _schema(definitions, document)
        errors = [error.message for error in Draft202012Validator(schema).iter_errors(document)]
        assert not errors, document["metadata"]["name"]


def test_the_definitions_find_a_field_that_there_is_not(definitions: Path) -> None:
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "spec": {"selector": {}, "podMetricsEndpoints": [{"prot": "admin"}]},
    }
    assert [error.message for error in Draft202012Validator(_schema(definitions, document)).iter_errors(document)]


def test_the_gateways_port_of_metrics_is_scraped_and_no_other_pods(monitored: Manifests) -> None:
    (monitor,) = monitored.of_kind("PodMonitor")
    (workload,) = monitored.selected(monitor["spec"]["selector"]["matchLabels"])
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (workload.name, workload.ports()[endpoint["port"]], endpoint["path"]) == ("gateway", 8001, "/metrics")
    assert workload.labels[monitor["spec"]["jobLabel"]] == "gateway"
    # In a namespace of its own, as everything else.
    assert "namespaceSelector" not in monitor["spec"]


def test_the_rules_are_those_of_the_files(monitored: Manifests) -> None:
    found = {document["metadata"]["name"]: document["spec"] for document in monitored.of_kind("PrometheusRule")}
    assert found == {
        f"gateway-{name}": yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("recording", "alerts")
    }


def test_the_dashboards_are_found_by_grafanas_sidecar(monitored: Manifests) -> None:
    (document,) = [found for found in monitored.of_kind("ConfigMap") if found["metadata"]["name"] == "dashboards"]
    assert document["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert document["data"] == {
        path.name: path.read_text(encoding="utf-8") for path in (_FOLDER / "dashboards").glob("*.json")
    }


def test_prometheus_namespace_may_scrape_and_jobs_may_push_there(monitored: Manifests) -> None:
    prometheus = Peer({"app": "prometheus"}, namespace=_METRICS)
    stranger = Peer({"app": "prometheus"}, namespace={})
    gateway = peer(monitored, "gateway")
    assert may_connect(monitored, prometheus, gateway, 8001)
    assert not may_connect(monitored, stranger, gateway, 8001)
    pushing = {
        found.name
        for found in monitored.workloads()
        if may_connect(monitored, peer(monitored, found.name), prometheus, 9091)
    }
    assert {"apply", "audit-skew", "ingest", "materialize", "training-set"} <= pushing
    assert not {"gateway", "feature-server", "files"} & pushing
    assert not any(
        may_connect(monitored, peer(monitored, found.name), stranger, 9091) for found in monitored.workloads()
    )


def test_every_job_is_told_the_pushgateway_at_the_port_that_is_let_through(monitored: Manifests) -> None:
    for name in ("apply", "audit-skew", "ingest", "materialize", "training-set"):
        (source,) = monitored.workload(name).container["envFrom"]
        variables = monitored.config_map(source["configMapRef"]["name"])
        assert variables["PROMETHEUS_PUSHGATEWAY_URL"] == "http://pushgateway.monitoring:9091", name


@pytest.mark.slow
def test_an_api_server_with_the_operators_definitions_takes_the_overlay(
    cluster: Cluster, definitions: Path, copy: Copy
) -> None:
    with _defined(cluster, definitions):
        folder = copy.overlay("local", (NEEDS_AN_OPERATOR, "network-policies"))
        said = cluster.kubectl("apply", "--dry-run=server", "-k", str(folder))
    for line in (
        "podmonitor.monitoring.coreos.com/gateway created",
        "prometheusrule.monitoring.coreos.com/gateway-recording created",
        "prometheusrule.monitoring.coreos.com/gateway-alerts created",
        "configmap/dashboards created",
    ):
        assert line in said


@contextmanager
def _defined(cluster: Cluster, definitions: Path) -> Iterator[None]:
    """Give a cluster the operator's kinds for the length of the block, unless it has them."""
    names = [f"crd/{plural}.monitoring.coreos.com" for plural in _PLURALS.values()]
    there = cluster.kubectl("get", "crd", "-o", "name")
    added = [name for name in names if name.removeprefix("crd") not in there]
    try:
        for plural in _PLURALS.values() if added else ():
            # Client-side, a definition would be too long for the annotation with what was applied.
            cluster.kubectl("apply", "--server-side", "-f", str(definitions / _DEFINITIONS.format(plural)))
        cluster.kubectl("wait", "--for=condition=established", "--timeout=60s", *names)
        yield
    finally:
        if added:
            cluster.kubectl("delete", "--ignore-not-found", *added)


def _schema(definitions: Path, document: Mapping[str, Any]) -> Any:
    """Return the schema of a document, in which a field that is not described is an error, as for kubectl."""
    path = definitions / _DEFINITIONS.format(_PLURALS[document["kind"]])
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    version = document["apiVersion"].partition("/")[2]
    (schema,) = [
        each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == version
    ]
    return _closed(
        {**schema, "properties": {**schema["properties"], "metadata": {"x-kubernetes-preserve-unknown-fields": True}}}
    )


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed["additionalProperties"] = False
    return closed
