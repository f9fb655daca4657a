"""The fixtures of this folder's tests."""

from stack_fixtures import months, own_servers_stack, stack

__all__ = ["months", "own_servers_stack", "stack"]
