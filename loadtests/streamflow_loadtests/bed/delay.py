"""A server at a distance that its caller chooses: what is sent to it arrives later, in the order sent.

SIGUSR2 brings it near, and SIGUSR1 takes it away again.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass

import uvloop


@dataclass
class _Distance:
    delay_s: float
    """What there is of it now."""


async def _serve(port: int, target_port: int, delay_s: float, host: str = "127.0.0.1") -> None:
    distance = _Distance(delay_s)

    def be(delay_s: float) -> None:
        distance.delay_s = delay_s

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            answers, requests = await asyncio.open_connection("127.0.0.1", target_port)
            await asyncio.gather(_pass_on(reader, requests, distance), _pass_on(answers, writer, _Distance(0.0)))

    server = await asyncio.start_server(connect, host, port)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, be, delay_s)
    loop.add_signal_handler(signal.SIGUSR2, be, 0.0)
    await ended.wait()
    server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, distance: _Distance) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65536):
            if distance.delay_s:
                await asyncio.sleep(distance.delay_s)
            writer.write(chunk)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    # The port, the port of the server, the delay in milliseconds, and the address to listen on.
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000, *sys.argv[4:]))
