"""What the README says to run and to watch exists. No cluster is needed."""

import re
import shlex
from itertools import pairwise

import pytest
from manifests import CHECKOUT, K8S, Combination, Manifests
from readme import README, lines

_NAMED = re.compile(r"\b(job|cronjob|deployment|service)/([\w-]+)")


@pytest.mark.parametrize("line", dict.fromkeys(lines()))
def test_a_command_names_what_there_is(line: str, built: dict[Combination, Manifests], kept: Manifests) -> None:
    kinds = {"cronjob": "CronJob", "deployment": "Deployment", "service": "Service"}
    for kind, name in _NAMED.findall(line):
        if kind == "job":
            assert any(made.endswith(f" {name}") for made in lines() if " create job " in made), name
        else:
            assert any(name in manifests.names(kinds[kind]) for manifests in built.values()), name
    words = shlex.split(line)
    for option, word in pairwise(words):
        if option in {"-k", "-f"} and word != "-":
            assert (CHECKOUT / word).exists(), word
    if "-n" in words:
        assert words[words.index("-n") + 1] in kept.names("Namespace")


def test_the_images_that_are_built_are_those_that_the_local_overlay_runs(built: dict[Combination, Manifests]) -> None:
    made = {word for line in lines() for word in line.split() if word.startswith("streamflow/") and ":" in word}
    run = {
        container["image"]
        for workload in built["local", ()].workloads()
        for container in workload.containers()
        if container["image"].startswith("streamflow/")
    }
    assert made == run


def test_a_deployment_has_not_failed_while_the_readme_still_waits(built: dict[Combination, Manifests]) -> None:
    """A Deployment past its deadline has `rollout status` fail, though its pods only wait for the load."""
    waits_s = [int(minutes) * 60 for line in lines() for minutes in re.findall(r"kubectl .*--timeout=(\d+)m", line)]
    assert waits_s
    for deployment in built["local", ("redis-cluster",)].of_kind("Deployment"):
        assert deployment["spec"]["progressDeadlineSeconds"] >= max(waits_s) + 120


def test_what_is_watched_is_measured() -> None:
    known = set(re.findall(r"`(gateway_\w+)`", (CHECKOUT / "gateway" / "README.md").read_text(encoding="utf-8")))
    watched = set(re.findall(r"`(gateway_\w+)[`{]", README))
    assert watched
    assert watched <= known


def test_every_component_has_its_row() -> None:
    components = {path.name for path in (K8S / "components").iterdir()}
    table = README.partition("| component |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == components


def test_sizes_are_those_of_the_manifests(built: dict[Combination, Manifests]) -> None:
    rows = {
        cells[1].partition(",")[0].strip().replace(" ", "-"): (cells[3].strip(), cells[4].strip())
        for cells in (line.split("|") for line in README.partition("## Sizes")[2].splitlines())
        if len(cells) > 4 and "Mi" in cells[3]
    }
    assert rows.keys() == {"gateway", "feature-server", "materialize", "training-set", "audit-skew"}
    for name, row in rows.items():
        container = built["production", ()].workload(name).container
        assert row == tuple(_said(container["resources"][bound]) for bound in ("requests", "limits")), name


def _said(resources: dict[str, str]) -> str:
    cores = resources["cpu"].replace("500m", "0.5")
    return f"{cores} core{'' if cores == '1' else 's'}, {resources['memory']}"
