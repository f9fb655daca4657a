"""The benchmark: Feast's own servers and the gateway side by side."""

import streamflow_loadtests.bed  # noqa: F401  # its settings come before gRPC is imported
