"""Loads by clients of this process: tasks of one event loop, or threads."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from streamflow_loadtests.bench.load import Load, Tally, Window, warmed
from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Caller, Values
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.own_client import OwnThreadedClient


class Tasks:
    """Callers that are tasks, and share one client or have one each."""

    def __init__(self, connect: Callable[[], Caller], answers: Mapping[str, Values]) -> None:
        """Creates a load whose clients `connect` makes."""
        self._connect = connect
        self._answers = answers
        self._shared: list[Caller] = []

    async def run(self, workload: Workload, window: Window, *, warm_up_s: float, duration_s: float, seed: int) -> Load:
        """Run; calls that are in flight at the end are waited for."""
        if not workload.apart:
            self._shared = self._shared or [self._connect()]
        clients = [self._connect() for _ in range(workload.callers)] if workload.apart else self._shared
        try:
            drive = partial(self._drive, clients, workload)
            return await warmed(drive, window, warm_up_s=warm_up_s, duration_s=duration_s, seed=seed)
        finally:
            if workload.apart:
                await _close(clients)

    async def close(self) -> None:
        """Close the shared client."""
        await _close(self._shared)

    async def _drive(self, clients: Sequence[Caller], workload: Workload, *, duration_s: float, seed: int) -> Load:
        tally = Tally(answers=self._answers)
        resent = sum(client.resends for client in clients)

        async def calls(client: Caller, drawn: random.Random) -> None:
            while (asked_s := time.perf_counter()) - tally.began_s < duration_s:
                user_ids = tally.draw(drawn, workload.users)
                try:
                    replies = await client.ask(user_ids)
                except CallError as error:
                    tally.failures.append(f"the call for {user_ids[0]} failed: {error}")
                    # One is enough to void the measurement, and a loop of failures would only be fast.
                    return
                tally.note(user_ids, elapsed_s=time.perf_counter() - asked_s, replies=replies)

        try:
            async with asyncio.timeout(duration_s + CALL_TIMEOUT_S), asyncio.TaskGroup() as tasks:
                for number in range(workload.callers):
                    drawn = random.Random(f"{seed}/{number}")  # noqa: S311  # repeatable draws, not secrets
                    tasks.create_task(calls(clients[number % len(clients)], drawn))
        except TimeoutError:
            tally.failures.append(f"a call got no reply in {CALL_TIMEOUT_S:g} s")
        load = tally.load()
        load.resends = sum(client.resends for client in clients) - resent
        return load


class Threads:
    """Callers that are threads, and share one client."""

    def __init__(self, client: OwnThreadedClient, answers: Mapping[str, Values]) -> None:
        self._client = client
        self._answers = answers

    async def run(self, workload: Workload, window: Window, *, warm_up_s: float, duration_s: float, seed: int) -> Load:
        """Run; calls that are in flight at the end are waited for."""

        async def drive(*, duration_s: float, seed: int) -> Load:
            return await asyncio.to_thread(self._drive, workload, duration_s=duration_s, seed=seed)

        return await warmed(drive, window, warm_up_s=warm_up_s, duration_s=duration_s, seed=seed)

    async def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _drive(self, workload: Workload, *, duration_s: float, seed: int) -> Load:
        tally = Tally(answers=self._answers)

        def calls(drawn: random.Random) -> None:
            while (asked_s := time.perf_counter()) - tally.began_s < duration_s:
                user_ids = tally.draw(drawn, workload.users)
                try:
                    replies = self._client.ask(user_ids)
                except CallError as error:
                    tally.failures.append(f"the call for {user_ids[0]} failed: {error}")
                    return
                tally.note(user_ids, elapsed_s=time.perf_counter() - asked_s, replies=replies)

        threads = [
            threading.Thread(target=calls, args=(random.Random(f"{seed}/{number}"),))  # noqa: S311  # repeatable
            for number in range(workload.callers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return tally.load()


async def _close(clients: Sequence[Caller]) -> None:
    for client in clients:
        await client.close()
