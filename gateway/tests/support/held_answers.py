"""A feature server whose answers wait for the test."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class HeldAnswers:
    """Answers as `answer` does, once the gate is open."""

    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first request."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.arrived.set()
        await self.gate.wait()
        return await self.answer(request)
