"""Refuses the calls of a client in the child of a fork.

gRPC's threads and connections stay in the parent (https://github.com/grpc/grpc/blob/master/doc/fork_support.md): a
call in the child can wait without an end.
"""

import os
from collections.abc import Callable
from typing import TypeVar

_Made = TypeVar("_Made")


def in_this_process(make: Callable[[], _Made]) -> Callable[[], _Made]:
    """Return what makes the same in this process, and raises RuntimeError in its children."""
    process = os.getpid()

    def made() -> _Made:
        if os.getpid() != process:
            raise RuntimeError(
                "The client's channel was opened before this process was forked, and gRPC does not work here; "
                "create a client in each process, such as in gunicorn's post_fork or in the application's lifespan."
            )
        return make()

    return made
