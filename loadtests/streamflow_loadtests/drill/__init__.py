"""Faults of a running stack under steady load, each with what is expected of it."""

import os

# gRPC's own handling of forks may hang a process on its way to become a server; gRPC reads this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
