"""How many replicas a rate takes, by what calls were measured to cost."""

import streamflow_loadtests.bed  # noqa: F401  # its settings come before gRPC is imported
