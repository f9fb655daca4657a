"""kube-score finds nothing critical in any overlay with any pair of components, but for what is waived here."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from manifests import Combination, Manifests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_MODULE = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
_CRITICAL = 1
_BUILD_TIMEOUT_S = 1000
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Waiver:
    """What kube-score may say."""

    check: str
    objects: str
    """A pattern of the names of objects."""

    reason: str
    without: str = ""
    """The component that does what the check asks for: with the component, the check is not waived."""

    given: str = ""
    """The component that makes the check fail: without the component, the check is not waived."""

    def holds(self, chosen: tuple[str, ...]) -> bool:
        """Return whether the waiver is for overlays with these components."""
        return self.without not in chosen and self.given in ("", *chosen)


_WAIVERS = (
    Waiver(
        "container-image-pull-policy",
        ".*",
        "Versions and digests do not change. With Always, a pod could not start while the registry is away, and kind "
        "could not run the images that it was given.",
    ),
    Waiver("pod-networkpolicy", ".*", "The component has the policies.", without="network-policies"),
    Waiver(
        "networkpolicy-targets-pod",
        "stores|redis-cluster",
        "The policies wait for stores in the namespace. Without such stores they select nothing.",
    ),
    Waiver(
        "service-targets-pod",
        r"redis-cluster-node-\d",
        "Each selects one pod by the label that the StatefulSet controller gives to the pod.",
    ),
    Waiver(
        "deployment-has-poddisruptionbudget",
        "gateway|feature-server",
        "The component has the budgets.",
        without="pod-disruption-budgets",
    ),
    Waiver(
        "pod-probes-identical",
        "postgres|redis",
        "Stores for trials. Both probes ask whether the store answers; liveness waits 4 to 20 times as long.",
    ),
    Waiver(
        "container-security-context-user-group-id",
        "postgres|redis|redis-cluster|redis-cluster-form",
        "The images' own users, who own the files in the images. A user id above 10000 has none of them.",
    ),
    Waiver(
        "container-security-context-user-group-id",
        ".*",
        "The cluster assigns ids above 10000.",
        given="assigned-user-ids",
    ),
)


@pytest.fixture(scope="module")
def kube_score(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built by Go: nobody publishes it for pip."""
    if shutil.which("go") is None:
        pytest.skip("Go builds kube-score, and there is no go")
    folder = tmp_path_factory.mktemp("kube-score")
    built = subprocess.run(
        ["go", "install", _MODULE],
        check=False,
        capture_output=True,
        text=True,
        timeout=_BUILD_TIMEOUT_S,
        env=os.environ | {"GOBIN": str(folder)},
    )
    if built.returncode != 0:
        pytest.skip(f"kube-score can't be built: {built.stderr[-500:]}")
    return folder / "kube-score"


def test_nothing_critical_is_found_that_is_not_waived(kube_score: Path, built: dict[Combination, Manifests]) -> None:
    with ThreadPoolExecutor(2) as pool:
        scored = pool.map(lambda manifests: list(_criticals(kube_score, manifests)), built.values())
        found = {(chosen, *each) for (_, chosen), criticals in zip(built, scored, strict=True) for each in criticals}
    assert not [each for each in found if _waiver(*each) is None]
    assert {_waiver(*each) for each in found} == set(_WAIVERS)


def _waiver(chosen: tuple[str, ...], name: str, check: str) -> Waiver | None:
    """Return the waiver of a critical finding, if there is one."""
    return next(
        (
            waiver
            for waiver in _WAIVERS
            if waiver.check == check and re.fullmatch(waiver.objects, name) and waiver.holds(chosen)
        ),
        None,
    )


def _criticals(program: Path, manifests: Manifests) -> Iterator[tuple[str, str]]:
    """Yield object and check of what is critical."""
    result = subprocess.run(
        [program, "score", "--output-format", "json", "-"],
        check=False,
        capture_output=True,
        text=True,
        input=yaml.safe_dump_all(manifests.documents),
        timeout=_TIMEOUT_S,
    )
    assert result.returncode in {0, 1}, result.stderr
    for found in json.loads(result.stdout):
        for check in found["checks"]:
            if check["grade"] == _CRITICAL and not check["skipped"]:
                yield str(found["object_meta"]["name"]), str(check["check"]["id"])
