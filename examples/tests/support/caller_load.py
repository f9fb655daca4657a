"""Load from a caller: users on its standard input, answers on its standard output."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from languages import CHECKOUT

CALLS_AT_ONCE = 8
ANSWERED = "monthly_fee 29.85 FEATURE_STATUS_PRESENT"


class Load:
    """Calls without a pause until it is enough: a new one for each answer."""

    def __init__(self, process: asyncio.subprocess.Process, user: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._line = f"{user}\n".encode()
        self._more = asyncio.Condition()
        self.calls = CALLS_AT_ONCE
        self.ended = Counter[str]()
        self.enough = False
        self._in_a_row = 0

    async def run(self) -> None:
        """Return once every call has an answer."""
        self._stdin.write(self._line * CALLS_AT_ONCE)
        while self.ended.total() < self.calls:
            line = (await self._stdout.readline()).decode()
            assert line, f"the caller ended: {self.ended}"
            async with self._more:
                end = line.split(maxsplit=1)[1].strip()
                self.ended[end] += 1
                self._in_a_row = self._in_a_row + 1 if end == ANSWERED else 0
                self._more.notify_all()
            if not self.enough:
                self._stdin.write(self._line)
                self.calls += 1
        self._stdin.close()
        assert await self._stdout.read() == b""
        await self._process.wait()

    async def more(self, calls: int) -> None:
        """Return once that many more calls have ended."""
        wanted = self.ended.total() + calls
        async with self._more:
            await self._more.wait_for(lambda: self.ended.total() >= wanted)

    async def answered_in_a_row(self, calls: int) -> None:
        """Return once that many calls in a row have been answered with the user's features."""
        async with self._more:
            await self._more.wait_for(lambda: self._in_a_row >= calls)


@asynccontextmanager
async def under_load(command: Sequence[str], variables: Mapping[str, str], *, user: str) -> AsyncIterator[Load]:
    """Load for a block, at whose end every call has ended."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=CHECKOUT,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        load = Load(process, user)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            yield load
            load.enough = True
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
