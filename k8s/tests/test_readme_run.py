"""The README's commands run in its order against a real API server. They fail nowhere, and draw no warning."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cluster import Cluster
from manifests import Copy, edit
from readme import Block, blocks, lines

_NEEDS_A_CONTAINER = "needs a container, and pods are simulated"
_ELSEWHERE = {
    "docker": "builds images, and pods are simulated",
    "kind": "makes a cluster, and the tests have one",
    **dict.fromkeys(("curl", "port-forward", "exec", "cp", "logs"), _NEEDS_A_CONTAINER),
}
"""What this test can't run, by the command or by kubectl's subcommand."""

_LAPTOP = "First answer"
_REMOVE = "Remove"
_KUBECTL = re.compile(r'(\w+=("[^"]*"|\S*) )*kubectl ')
_CALLERS = ("models", "monitoring")


@pytest.fixture
def callers(control_plane: Cluster) -> Iterator[None]:
    """The namespaces of callers and of Prometheus, which the README labels."""
    made = []
    try:
        for name in _CALLERS:
            control_plane.kubectl("create", "namespace", name)
            made.append(name)
        yield
    finally:
        control_plane.kubectl("delete", "namespace", "--ignore-not-found", *made)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_laptops_commands_run_in_order(empty_cluster: Cluster, copy: Copy) -> None:
    """First the answer, then the removal of what was started for it."""
    for block in _blocks(_LAPTOP, _REMOVE):
        for line in _run_here(block):
            empty_cluster.shell(line.replace("overlays/production", "overlays/local"), copy.folder)
    assert not empty_cluster.has_namespace()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("callers")
def test_productions_commands_run_in_order(empty_cluster: Cluster, copy: Copy) -> None:
    """All sections but the laptop's, and the removal at the end."""
    sections = list(dict.fromkeys(block.section for block in blocks()))
    _write_what_is_not_in_git(copy.folder)
    for block in _blocks(*(name for name in sections if name not in {_LAPTOP, _REMOVE}), _REMOVE):
        _follow(block, copy.folder / "k8s" / "overlays" / "production")
        for line in _run_here(block):
            empty_cluster.shell(line, copy.folder)
    assert not empty_cluster.has_namespace()


def test_every_command_is_run_or_left_out_for_a_reason() -> None:
    left_out = {line: _reason(line) for line in lines() if _reason(line)}
    assert set(left_out.values()) == set(_ELSEWHERE.values())
    assert all(_KUBECTL.match(line) for line in lines() if line not in left_out)
    assert {block.section for block in blocks()} >= {_LAPTOP, _REMOVE, "Production", "Upgrade"}


def _blocks(*sections: str) -> list[Block]:
    """Return the commands of these sections in order."""
    return [block for section in sections for block in blocks() if block.section == section]


def _run_here(block: Block) -> list[str]:
    return [line for line in block.lines if not _reason(line)]


def _reason(line: str) -> str:
    """Return why a command is left out, or nothing."""
    words = line.split()
    return next((reason for word, reason in _ELSEWHERE.items() if word == words[0] or word in words[1:4]), "")


def _follow(block: Block, overlay: Path) -> None:
    """Change the overlay as the README says in front of these commands."""
    kustomization = edit(overlay)
    autoscaling = "../../components/autoscaling"
    others = [name for name in kustomization["components"] if name != autoscaling]
    if block.lead == "Add autoscaling":
        edit(overlay, components=[*others, autoscaling])
    if block.lead == "Remove autoscaling":
        edit(overlay, components=others)
    if block.section == "Upgrade":
        edit(overlay, images=[image | {"newTag": "0.2.0"} for image in kustomization["images"]])


def _write_what_is_not_in_git(folder: Path) -> None:
    """Write the files that the README's commands read: passwords and certificates."""
    authority = trustme.CA()
    certificate = authority.issue_cert("features.example.com")
    for line in lines():
        for name in re.findall(r"--from-file=[\w.]+=([\w.]+)", line):
            (folder / name).write_text("password", encoding="utf-8")
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    certificate.private_key_pem.write_to_path(str(folder / "tls.key"))
