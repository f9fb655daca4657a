"""Reads the metadata of calls."""

from typing import Any

import grpc


def authorization_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return a call's Authorization header; empty for none."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return ""
