"""The HTTP API: the same lookup as JSON, probes and metrics."""
