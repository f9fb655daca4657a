"""A server as far away as it is told: what is sent to it arrives later, in the order sent."""

import asyncio
import signal
import sys
from contextlib import suppress

import uvloop


async def _serve(port: int, target_port: int, delay_s: float) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            answers, requests = await asyncio.open_connection("127.0.0.1", target_port)
            await asyncio.gather(_pass_on(reader, requests, delay_s), _pass_on(answers, writer, 0.0))

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65536):
            if delay_s:
                await asyncio.sleep(delay_s)
            writer.write(chunk)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    # The port, the port of the server, and the delay in milliseconds.
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
