"""Faults of a running stack under steady load, each with what is expected of it."""

import streamflow_loadtests.bed  # noqa: F401  # its settings come before gRPC is imported
