"""The fixtures of this folder's tests."""

from any_repo_fixtures import (
    any_repo_on_postgres,
    any_repo_on_redis,
    any_repo_on_sqlite,
    feast_serve_on_postgres,
    feast_serve_on_redis,
    feast_serve_on_sqlite,
)
from stack_fixtures import (
    either_generated_stack,
    either_stack,
    months,
    own_servers_stack,
    secure_stack,
    stack,
    stock_stack,
)

__all__ = [
    "any_repo_on_postgres",
    "any_repo_on_redis",
    "any_repo_on_sqlite",
    "either_generated_stack",
    "either_stack",
    "feast_serve_on_postgres",
    "feast_serve_on_redis",
    "feast_serve_on_sqlite",
    "months",
    "own_servers_stack",
    "secure_stack",
    "stack",
    "stock_stack",
]
