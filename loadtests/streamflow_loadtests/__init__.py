"""The benchmark of the ways to one user's features: Feast's own servers, and the gateway in front of one."""
