"""What a container is allowed to do."""

import re

from trial import CommandError, Trial

_FILTERED = "2"
_BUILD_TOOLS = ("uv", "gcc", "cc", "g++", "make", "git")


def check_confined(trial: Trial, name: str, container: str) -> None:
    """Check that a running container has a numeric user, no capabilities and a read-only root file system."""
    configured = trial.inspect(container, "{{.Config.User}}")
    user = trial.inside(container, "sh", "-c", "echo $(id -u):$(id -g)")
    status = trial.inside(container, "cat", "/proc/1/status").splitlines()
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in status)}
    numeric = re.fullmatch(r"[1-9]\d*:[1-9]\d*", configured) is not None
    trial.check(f"{name} runs as a numeric user that is not root", holds=numeric and user == configured, saw=user)
    trial.check(
        f"{name} has no capabilities, gains no privileges, has a seccomp filter",
        holds=int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
        and fields["NoNewPrivs"] == "1"
        and fields["Seccomp"] == _FILTERED,
    )
    trial.check(f"{name} can't write to its root file system, not even as root", holds=_is_read_only(trial, container))


def check_lean(trial: Trial, name: str, container: str) -> None:
    """Check that a container has no build tools."""
    found = trial.inside(
        container, "sh", "-c", f"for tool in {' '.join(_BUILD_TOOLS)}; do command -v $tool; done; true"
    )
    trial.check(f"{name} has no build tools", holds=not found, saw=found)


def _is_read_only(trial: Trial, container: str) -> bool:
    try:
        # Root owns the folder, so only a read-only file system can refuse the write.
        trial.podman("exec", "--user", "0", container, "touch", "/written", timeout_s=20)
    except CommandError as error:
        return "Read-only file system" in str(error)
    return False
