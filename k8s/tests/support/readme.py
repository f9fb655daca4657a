"""The commands of this folder's README, and of the texts in `docs`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from manifests import K8S

README = (K8S / "README.md").read_text(encoding="utf-8")
_BLOCKS = re.compile(r"^```bash\n(?P<block>.*?)^```$|`(?P<inline>kubectl [^`\n]+)`", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands that stand together."""

    section: str
    """The heading above them."""

    lead: str
    """The bold words above them since the heading, if there are any: what the reader does first."""

    lines: tuple[str, ...]


def blocks(text: str = README) -> list[Block]:
    """Return all commands of a text in order: the `bash` blocks, and what the prose has kubectl do."""
    return [block for section in text.split("\n## ") for block in _blocks_of(section)]


def lines(text: str = README) -> list[str]:
    """Return the commands of all blocks of a text."""
    return [line for block in blocks(text) for line in block.lines]


def _blocks_of(section: str) -> Iterator[Block]:
    for match in _BLOCKS.finditer(section):
        leads = re.findall(r"^\*\*(.+?)\.\*\*", section[: match.start()], re.MULTILINE)
        found = (match["block"] or match["inline"]).splitlines()
        yield Block(
            section=section.partition("\n")[0],
            lead=leads[-1] if leads else "",
            lines=tuple(line.removesuffix("&").strip() for line in found),
        )
