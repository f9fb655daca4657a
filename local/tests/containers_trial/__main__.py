"""`python local/tests/containers_trial`: build the images, run them with podman, and check what they do.

docker-compose.yml runs with podman-compose, and the workloads of k8s/overlays/local with podman kube play. The trial
needs podman and podman-compose. It has its own containers, pods, networks, volumes, secrets and ports, and removes them
at the end. Images stay. The exit code is 1 if a check fails.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

# pytest does this with `pythonpath` in pyproject.toml.
sys.path.extend(str(Path(__file__).resolve().parents[3] / folder / "tests/support") for folder in ("local", "k8s"))

import composed_parts
import images
import played_parts
from composed import Composed
from played import Played
from trial import CommandError, Trial, leads_here, run

_BASE = "docker.io/library/python:3.12-slim-bookworm"
_Subject = TypeVar("_Subject", Composed, Played)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python local/tests/containers_trial", description=__doc__)
    parser.add_argument("--podman", default="podman", help="the command; default: %(default)s")
    parser.add_argument("--podman-compose", default="podman-compose", help="the command; default: %(default)s")
    parser.add_argument("--base-image", default=_BASE, help="default: %(default)s")
    parser.add_argument("--only", choices=("compose", "kubernetes"), help="run one of the two; default: both")
    parser.add_argument("--no-build", action="store_true", help="use the images that exist")
    parser.add_argument("--keep", action="store_true", help="do not remove what was started last")
    return parser.parse_args()


def _look(subject: _Subject, parts: Iterable[Callable[[_Subject], None]], *, keep: bool) -> None:
    """Remove what an earlier trial left, run the parts, and remove what they started."""
    subject.down()
    try:
        for part in parts:
            subject.trial.say(f"\n{part.__doc__}")
            try:
                part(subject)
            except (CommandError, OSError) as error:
                subject.trial.check(f"{part.__name__} runs to its end", holds=False, saw=error)
    finally:
        if not keep:
            subject.down()
            taken = [port for port in subject.ports if not leads_here(port)]
            # A server that listens on such a port later would get no connections, without any error.
            subject.trial.check("no port of the host leads to a container any more", holds=not taken, saw=taken)


def _compose(trial: Trial, options: argparse.Namespace, stand_ins: Mapping[str, str]) -> None:
    run(["make", "-s", "secrets"], timeout_s=60)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(options.podman_compose, "--podman-path", options.podman, "--in-pod", "false"),
            # As with Docker: a read-only container has only the tmpfs mounts that it asks for.
            "--podman-run-args=--read-only-tmpfs=false",
        ]
        _look(Composed(trial, command, Path(folder), stand_ins), composed_parts.PARTS, keep=options.keep)


def _kubernetes(trial: Trial, options: argparse.Namespace, stand_ins: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _look(Played(trial, Path(folder), stand_ins), played_parts.PARTS, keep=options.keep)


def main() -> int:
    """Run the trial; return the exit code."""
    options = _options()
    # The exit removes what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    trial = Trial([options.podman])
    if not options.no_build:
        images.build(trial, options.base_image)
    stand_ins = images.stand_ins(trial)
    if options.only != "kubernetes":
        _compose(trial, options, stand_ins)
    if options.only != "compose":
        _kubernetes(trial, options, stand_ins)
    trial.say(f"\n{trial.held} checks hold, {len(trial.failed)} do not")
    for sentence in trial.failed:
        trial.say(f"        {sentence}")
    return 1 if trial.failed else 0


if __name__ == "__main__":
    sys.exit(main())
