"""Runs work beside the gateway's servers."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


def keep_running(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run `work` beside everything else until the stack closes."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
