"""The fixtures of this folder's tests."""

from stack_fixtures import either_generated_stack, either_stack, months, own_servers_stack, stack, stock_stack

__all__ = ["either_generated_stack", "either_stack", "months", "own_servers_stack", "stack", "stock_stack"]
