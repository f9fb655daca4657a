"""The instructions of a Dockerfile, by stage, as far as the tests need them."""

import json
from dataclasses import dataclass
from pathlib import Path

from stack_under_test import CHECKOUT

IMAGES = {
    "gateway": CHECKOUT / "gateway/Dockerfile",
    "feast": CHECKOUT / "feature_repo/Dockerfile",
    "loadtests": CHECKOUT / "loadtests/Dockerfile",
}


@dataclass(frozen=True)
class Instruction:
    keyword: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the exec form; of a HEALTHCHECK, the words of its command."""
        words = json.loads(self.text[self.text.index("[") :])
        assert isinstance(words, list)
        return words


@dataclass(frozen=True)
class Stage:
    instructions: list[Instruction]

    def all(self, keyword: str) -> list[str]:
        return [instruction.text for instruction in self.instructions if instruction.keyword == keyword]

    def last(self, keyword: str) -> Instruction:
        return [instruction for instruction in self.instructions if instruction.keyword == keyword][-1]

    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for text in self.all("ENV") for pair in text.split())


def stages(path: Path) -> list[Stage]:
    """Return the stages in order, each with its FROM; instructions before the first FROM are left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, _, text = line.strip().partition(" ")
        if keyword == "FROM":
            found.append(Stage([]))
        if keyword and found:
            found[-1].instructions.append(Instruction(keyword, " ".join(text.split())))
    return found
