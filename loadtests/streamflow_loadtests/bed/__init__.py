"""The stores and servers that a tool measures: its own, on free ports, ended with it."""

import os

# gRPC's handling of forks may hang a process on its way to become a server. gRPC reads this when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
