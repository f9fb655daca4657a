"""Where a running stack tells a secret to others than its owner."""

import ssl
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import suppress

import psutil
from stack_under_test import Stack

_TIMEOUT_S = 30


def told(stack: Stack, secrets: Collection[str]) -> list[str]:
    """Return where a secret stands: the logs, what commands print, the list of processes, open files, `/metrics`."""
    return [where for where, text in _texts(stack) for secret in secrets if secret in text]


def _texts(stack: Stack) -> Iterator[tuple[str, str]]:
    up = ["up", "--secure"] if stack.config_as_started.secure else ["up"]
    for command in (["status"], ["status", "--json"], up):
        result = stack.local(*command)
        yield f"local {' '.join(command)}", result.stdout + result.stderr
    processes = [psutil.Process(pid) for pid in stack.pids().values() if pid]
    assert processes
    supervisor = processes[0].parent()
    assert supervisor is not None
    for process in (supervisor, *supervisor.children(recursive=True)):
        # PostgreSQL's workers come and go.
        with suppress(psutil.NoSuchProcess):
            yield f"the command line of pid {process.pid}", " ".join(process.cmdline())
    # The stores' own files come and go too, and are theirs alone.
    folders = [folder for folder in stack.layout.state.iterdir() if folder.name != "data"]
    for path in (path for folder in folders for path in (folder, *folder.rglob("*"))):
        # Files of the owner alone may have secrets, but a log is passed on.
        if path.is_file() and (path.stat().st_mode & 0o077 or path.is_relative_to(stack.layout.logs)):
            yield str(path), path.read_text(encoding="utf-8", errors="replace")
    secure = stack.config_as_started.secure
    trusted = ssl.create_default_context(cafile=stack.layout.ca_file) if secure else None
    url = f"{'https' if secure else 'http'}://127.0.0.1:{stack.config.gateway_http_port}/metrics"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=trusted) as reply:  # noqa: S310  # one of these two
        yield "/metrics", reply.read().decode()
