"""What a platform team requires of every pod."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from manifests import K8S, OPTIONAL, OVERLAYS, Combination, Copy, Manifests, Workload, build, mebibytes

_IDS = ("runAsUser", "runAsGroup", "fsGroup")
_VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
_SHORT_S = 1800
"""The most time of a Job that may begin again on another node."""

_LOGS_MEBIBYTES = 5 * 10
"""What a kubelet keeps of a container's log by default: containerLogMaxFiles times containerLogMaxSize."""


def test_pods_have_no_rights(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        pod = workload.pod
        assert pod["automountServiceAccountToken"] is False, workload.name
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys(), workload.name
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, workload.name
        # Neither is 0, or the cluster assigns both.
        assert 0 not in (ids := [context.get(name) for name in _IDS]), workload.name
        assert None not in ids or set(ids) == {None}, workload.name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, workload.name
        assert all(_VOLUMES & volume.keys() for volume in pod["volumes"]), workload.name
        for container in workload.containers():
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, container["name"]
    for account in manifests.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_namespace_refuses_pods_with_more_rights(kept: Manifests) -> None:
    (namespace,) = kept.of_kind("Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    # Not `latest`, by which an upgrade of the cluster could refuse pods that run.
    assert labels["pod-security.kubernetes.io/enforce-version"] == "v1.30"


def test_no_service_sets_variables_of_a_pod(manifests: Manifests) -> None:
    """The Service gateway would set GATEWAY_PORT and others; the gateway refuses unknown GATEWAY_ variables."""
    assert all(workload.pod["enableServiceLinks"] is False for workload in manifests.workloads())


def test_every_container_has_requests_and_limits(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert 0 < _cores(requests["cpu"]) <= _cores(limits["cpu"]), container["name"]
            for resource in ("memory", "ephemeral-storage"):
                assert 0 < mebibytes(requests[resource]) <= mebibytes(limits[resource]), (container["name"], resource)
        for volume in workload.pod["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume["name"]


def test_a_pods_limit_of_storage_holds_its_folders_and_its_logs(manifests: Manifests) -> None:
    """Kubernetes evicts a pod whose folders, logs and written files together are beyond the limit."""
    for workload in manifests.workloads():
        folders = [volume.get("emptyDir", {"medium": "Memory"}) for volume in workload.pod["volumes"]]
        on_disk = sum(mebibytes(folder["sizeLimit"]) for folder in folders if folder.get("medium") != "Memory")
        *init, last = [
            mebibytes(container["resources"]["limits"]["ephemeral-storage"]) for container in workload.containers()
        ]
        # Init containers run one after the other, and all that serves is one container.
        assert len(workload.pod["containers"]) == 1, workload.name
        assert max([*init, last]) >= on_disk + _LOGS_MEBIBYTES, workload.name


def test_images_have_a_version(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            assert re.search(r":[0-9]+(\.[0-9]+)*(-[a-z]+)?$|@sha256:[0-9a-f]{64}$", container["image"]), container[
                "image"
            ]


def test_what_serves_is_probed_and_what_ends_is_not(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            probes = {"startupProbe", "readinessProbe", "livenessProbe"} & container.keys()
            assert len(probes) == (3 if workload.serves and container == workload.container else 0), container["name"]
            for probe in probes:
                assert container[probe]["timeoutSeconds"] <= max(container[probe]["periodSeconds"], 3), probe


def test_the_gateways_liveness_does_not_follow_its_readiness(manifests: Manifests) -> None:
    container = manifests.workload("gateway").container
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}


def test_a_rolling_update_starts_a_pod_before_it_ends_one(manifests: Manifests) -> None:
    for workload in _servers(manifests):
        assert workload.document["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_what_is_done_once_for_a_version_is_never_done_by_two_versions_at_a_time(manifests: Manifests) -> None:
    done_once = [found for found in manifests.workloads() if found.kind == "Deployment" and not found.serves]
    assert "apply" in {workload.name for workload in done_once}
    for workload in done_once:
        assert workload.document["spec"]["replicas"] == 1
        assert workload.document["spec"]["strategy"] == {"type": "Recreate"}
        assert workload.pod["initContainers"]


def test_nothing_that_can_not_be_changed_is_named_by_hand(manifests: Manifests) -> None:
    """A Job of a fixed name has the next version end in `field is immutable`."""
    assert not manifests.of_kind("Job")


def test_pods_are_spread_over_hosts_and_zones(manifests: Manifests) -> None:
    for workload in _servers(manifests):
        constraints = workload.pod["topologySpreadConstraints"]
        assert [constraint["topologyKey"].partition("/")[2] for constraint in constraints] == ["hostname", "zone"]
        for constraint in constraints:
            selector = constraint["labelSelector"]["matchLabels"]
            assert manifests.selected(selector) == [workload]


def test_nodes_that_take_no_pods_do_not_count_for_the_spread(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for constraint in workload.pod.get("topologySpreadConstraints", ()):
            assert constraint["nodeTaintsPolicy"] == "Honor", workload.name


def test_jobs_end_are_not_run_twice_at_a_time_and_are_cleared_away(manifests: Manifests) -> None:
    for document in manifests.of_kind("CronJob"):
        spec = document["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] > 0
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 3)
        _check_job(spec["jobTemplate"]["spec"])
    schedules = {document["metadata"]["name"]: document["spec"] for document in manifests.of_kind("CronJob")}
    by_itself = {"materialize", "audit-skew"}
    assert {name for name, spec in schedules.items() if not spec.get("suspend")} == by_itself
    assert schedules.keys() - by_itself <= {"training-set", "ingest", "files", "load-sample"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_user_ids_are_fixed_unless_the_cluster_assigns_them(overlay: str, built: dict[Combination, Manifests]) -> None:
    for components, fixed in (((), True), (("assigned-user-ids",), False), (OPTIONAL, False)):
        for workload in built[overlay, components].workloads():
            assert all((name in workload.pod["securityContext"]) == fixed for name in _IDS), workload.name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_private_registry_gives_our_images_by_digest_and_every_pod_its_secret(
    overlay: str, built: dict[Combination, Manifests]
) -> None:
    for components in (("private-registry",), OPTIONAL):
        for workload in built[overlay, components].workloads():
            assert workload.pod["imagePullSecrets"] == [{"name": "registry"}], workload.name
            ours = [container["image"] for container in workload.containers() if "streamflow/" in container["image"]]
            assert all("@sha256:" in image and image.startswith("registry.example.com/") for image in ours), ours


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_priorities_name_classes_that_the_folder_of_classes_has(
    overlay: str, built: dict[Combination, Manifests]
) -> None:
    found = build(K8S / "priority-classes").of_kind("PriorityClass")
    value = {document["metadata"]["name"]: document["value"] for document in found}
    assert not any("priorityClassName" in workload.pod for workload in built[overlay, ()].workloads())
    for components in (("priorities",), OPTIONAL):
        by_kind: dict[str, set[int]] = {}
        for workload in built[overlay, components].workloads():
            kind = workload.labels["app.kubernetes.io/component"]
            by_kind.setdefault(kind, set()).add(value[workload.pod["priorityClassName"]])
        (job,), (serving,) = by_kind["job"], by_kind["serving"]
        assert 0 < job < serving
        assert all(serving < store for store in by_kind.get("store", ()))


def test_the_autoscaler_of_nodes_may_move_what_is_replaced_without_loss_alone(manifests: Manifests) -> None:
    alone = {workload.name for workload in manifests.workloads() if workload.document["spec"].get("replicas") == 1}
    for workload in manifests.workloads():
        spec = workload.document["spec"].get("jobTemplate", workload.document)["spec"]
        hours_long = spec.get("activeDeadlineSeconds", 0) > _SHORT_S
        moved = workload.template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"]
        kept = hours_long or (workload.kind == "StatefulSet" and workload.name in alone)
        assert moved == ("false" if kept else "true"), workload.name


def test_training_sets_at_the_same_time_have_folders_of_their_own_on_one_node(manifests: Manifests) -> None:
    """The claim is of one node at a time: on two, one run would wait until the other has ended."""
    workload = manifests.workload("training-set")
    (variable,) = workload.container["env"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['batch.kubernetes.io/job-name']"
    assert f"/training-sets/$({variable['name']})" in workload.container["command"]
    (term,) = workload.pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert manifests.selected(term["labelSelector"]["matchLabels"]) == [workload]


def test_a_changed_contract_rolls_the_gateways(copy: Copy, built: dict[Combination, Manifests]) -> None:
    before = built["local", ()].workload("gateway")
    copy.contract.write_text(copy.contract.read_text(encoding="utf-8").replace('"version": 2', '"version": 3'), "utf-8")
    after = copy.build("local", ()).workload("gateway")
    assert _contract_volume(before) != _contract_volume(after)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_what_scales_by_itself_has_no_count_of_its_own(overlay: str, built: dict[Combination, Manifests]) -> None:
    for workload in _servers(built[overlay, ()]):
        assert workload.document["spec"]["replicas"] >= 2
    scaled = _servers(built[overlay, ("autoscaling",)])
    assert not any("replicas" in workload.document["spec"] for workload in scaled)


def test_how_much_is_scaled_does_not_follow_what_is_requested(built: dict[Combination, Manifests]) -> None:
    """`local` requests little, so that a share of the request would be reached by a server that does nothing."""
    targets = {
        autoscaler["metadata"]["name"]: autoscaler["spec"]["metrics"][0]["resource"]["target"]
        for autoscaler in built["local", ("autoscaling",)].of_kind("HorizontalPodAutoscaler")
    }
    assert targets == {
        "gateway": {"type": "AverageValue", "averageValue": "700m"},
        "feature-server": {"type": "AverageValue", "averageValue": "650m"},
    }


def _servers(manifests: Manifests) -> list[Workload]:
    """Return the Deployments that others connect to."""
    servers = [found for found in manifests.workloads() if found.kind == "Deployment" and found.serves]
    assert {found.name for found in servers} == {"gateway", "feature-server"}
    return servers


def _check_job(spec: Mapping[str, Any]) -> None:
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] >= 0
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    # A failed attempt stays, with its log.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def _contract_volume(workload: Workload) -> str:
    (name,) = [volume["configMap"]["name"] for volume in workload.pod["volumes"] if volume["name"] == "contract"]
    return str(name)


def _cores(text: str) -> float:
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)
