"""Faults of a running stack under steady load, each with what is expected of it."""
