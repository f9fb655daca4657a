"""The callers in other languages: which tools they need, how they are built, and how they are run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
_README = CHECKOUT / "examples" / "README.md"
_BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Tool:
    """A command that has to be on the PATH, and the version from which it will do."""

    command: tuple[str, ...]
    version: tuple[int, ...]

    def missing(self) -> str:
        """What is missing, in words; empty if nothing is."""
        wanted = f"{self.command[0]} {'.'.join(map(str, self.version))} or newer"
        if shutil.which(self.command[0]) is None:
            return f"{wanted} is not on the PATH"
        output = subprocess.run(self.command, check=True, capture_output=True, text=True, timeout=60).stdout
        # Maven writes codes of colours, such as ESC[0m, into a pipe too.
        number = re.search(r"(?<!\[)\d+(\.\d+)*", output)
        found = tuple(map(int, number[0].split("."))) if number else ()
        return "" if found >= self.version else f"{wanted} is needed; here is {output.splitlines()[0]}"


@dataclass(frozen=True)
class Language:
    """A caller's language."""

    name: str
    tools: tuple[Tool, ...]
    follows_health: bool = True

    def missing(self) -> str:
        """What the machine lacks, in words; empty if nothing."""
        return next(filter(None, (tool.missing() for tool in self.tools)), "")

    def readme(self) -> tuple[str, str, str]:
        """The README's commands for this caller, how it is built and run, and what the last one prints."""
        section = _README.read_text(encoding="utf-8").split(f"\n## {self.name}\n")[1].split("\n## ")[0]
        (_, build), (_, run), (_, output) = _BLOCK.findall(section)[:3]
        return build, run, output

    def build(self) -> None:
        """Build the caller as the README says."""
        run_as_written(self.readme()[0])

    def command(self) -> list[str]:
        """The program that the README runs, without arguments."""
        words = self.readme()[1].split()
        return words[: words.index("127.0.0.1:50051")]

    def named(self, name: str, port: int, *, dns_port: int, hosts: Path) -> tuple[str, Mapping[str, str]]:
        """A target, and the variables with which the caller asks a DNS server, or a hosts file, for the name."""
        if self.name == "java":
            return f"dns:///{name}:{port}", {"JDK_JAVA_OPTIONS": f"-Djdk.net.hosts.file={hosts}"}
        return f"dns://127.0.0.1:{dns_port}/{name}:{port}", {"GRPC_NODE_USE_ALTERNATIVE_RESOLVER": "true"}


LANGUAGES = (
    Language("go", (Tool(("go", "env", "GOVERSION"), (1, 26)),)),
    Language("java", (Tool(("javac", "--version"), (17,)), Tool(("mvn", "--version"), (3, 8)))),
    Language(
        "typescript", (Tool(("node", "--version"), (20,)), Tool(("npm", "--version"), (10,))), follows_health=False
    ),
)


def run_as_written(commands: str) -> str:
    """Run a README's commands in the checkout, and return what they print; raise if one fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        cwd=CHECKOUT,
        env={**os.environ, "PATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
