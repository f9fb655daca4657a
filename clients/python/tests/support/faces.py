"""Both faces of the client, and a feature server that holds its answers, for tests of merged calls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from gateway_fakes import feast_answer
from streamflow_features import AsyncFeatureClient, FeatureClient

TIMEOUT_S = 20
FEATURES = ["profile_fv:months_active"]


def user(number: int) -> str:
    return f"{number:04d}-AAAAA"


@dataclass
class Face:
    """One face of the client, whose calls are begun at once."""

    client: FeatureClient | AsyncFeatureClient
    threads: ThreadPoolExecutor

    def begin(self, user_id: str, **options: Any) -> "asyncio.Future[Any]":
        if isinstance(self.client, FeatureClient):
            client = self.client
            return asyncio.get_running_loop().run_in_executor(
                self.threads, lambda: client.get_user_features(user_id, **options)
            )
        return asyncio.ensure_future(self.client.get_user_features(user_id, **options))

    async def close(self) -> None:
        closing = self.client.close()
        if closing is not None:
            await closing

    def waiting(self) -> int:
        """How many calls wait for a request, or for the answer of one that several share."""
        return sum(len(lane.queue) for lane in self.lanes())

    def lanes(self) -> list[Any]:
        """The lanes of the client's calls."""
        merger = self.client._opened().merger if isinstance(self.client, FeatureClient) else self.client._merger
        assert merger is not None
        return list(merger._merger._lanes.values())


@asynccontextmanager
async def face_of(kind: str, target: str, **options: Any) -> AsyncIterator[Face]:
    make = FeatureClient if kind == "sync" else AsyncFeatureClient
    with ThreadPoolExecutor(32) as threads:
        face = Face(make(target, timeout_s=TIMEOUT_S, **options), threads)
        try:
            yield face
        finally:
            await face.close()


@dataclass
class Held:
    """A feature server that answers with each user's number, and not until it may."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    headers: list[str | None] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.get("Authorization"))
        self.arrived.set()
        await self.gate.wait()
        body = orjson.loads(await request.read())
        answer = feast_answer(body)
        column = answer["metadata"]["feature_names"].index("profile_fv__months_active")
        answer["results"][column]["values"] = [int(user_id[:4]) for user_id in body["entities"]["user_id"]]
        return web.json_response(answer)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not holds():  # noqa: ASYNC110  # threads set it too
            await asyncio.sleep(0.001)


async def one_under_way(face: Face, held: Held, **options: Any) -> "asyncio.Future[Any]":
    """Begin a call that leaves alone, and hold it."""
    first = face.begin(user(0), features=FEATURES, **options)
    async with asyncio.timeout(TIMEOUT_S):
        await held.arrived.wait()
    # Not before the gate opens, however long this takes here.
    for lane in face.lanes():
        for flight in lane.holding:
            flight.started += TIMEOUT_S
    return first
