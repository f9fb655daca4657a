"""A `redis-cli` for machines without one: sends one command, and prints its reply as it comes.

Without a client library, which takes longer to import than a script of many commands takes to run.
"""

import os
import socket
import sys
from argparse import REMAINDER, ArgumentParser
from typing import BinaryIO


def main() -> int:
    """Return 1 if the server replies with an error."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("-e", action="store_true", required=True)
    for option in ("--user", "-h", "-p"):
        parser.add_argument(option, required=True)
    parser.add_argument("command", nargs=REMAINDER)
    options = parser.parse_args()
    with socket.create_connection((options.h, int(options.p)), timeout=10) as connection:
        connection.sendall(_encoded("AUTH", options.user, os.environ["REDISCLI_AUTH"]) + _encoded(*options.command))
        with connection.makefile("rb") as replies:
            signed_in, _ = _reply(replies)
            succeeded, text = _reply(replies)
    sys.stdout.write(f"{text}\n")
    return 0 if signed_in and succeeded else 1


def _encoded(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


def _reply(replies: BinaryIO) -> tuple[bool, str]:
    """Return whether a reply is no error, and its text."""
    line = replies.readline().decode().rstrip("\r\n")
    if line.startswith("$"):
        return True, replies.read(int(line[1:]) + 2).decode().rstrip("\r\n")
    return not line.startswith("-"), line[1:]


if __name__ == "__main__":
    sys.exit(main())
