"""A steady load for long, while replicas are replaced."""

import streamflow_loadtests.bed  # noqa: F401  # its settings come before gRPC is imported
