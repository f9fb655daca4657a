"""Moves the code generated from Feast's protos into a package and a descriptor pool of our own.

Feast's own generated code puts messages of the same names into protobuf's default pool, which takes each name once. A
process can have both: ours are in the pool `streamflow.features.feast.POOL`.
"""

import re
import sys
from pathlib import Path

_CHANGES = (
    # The modules, but not the names of packages and files, which are Feast's.
    (r"\bfeast\.(serving|types)\.(\w+_pb2)", r"streamflow.features.feast.\1.\2"),
    (r"\bfrom feast\.(serving|types) import", r"from streamflow.features.feast.\1 import"),
    (
        r"from google\.protobuf import descriptor_pool as _descriptor_pool",
        "from streamflow.features.feast import POOL as _POOL",
    ),
    (r"_descriptor_pool\.Default\(\)", "_POOL"),
)


def main(folder: Path) -> None:
    """Change the modules of a folder."""
    for path in sorted((*folder.rglob("*_pb2*.py"), *folder.rglob("*_pb2*.pyi"))):
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in _CHANGES:
            text = re.sub(pattern, replacement, text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
