"""The README's rooms are those of the package, and its route enters each of them once each way."""

import re
import tomllib
from pathlib import Path

_FOLDER = Path(__file__).parent.parent
_README = (_FOLDER / "README.md").read_text(encoding="utf-8")
_PACKAGE = _FOLDER / "feature_gateway"


def _rooms() -> list[tuple[str, list[str]]]:
    rows = re.findall(r"^\| (?:`(\w+)/` )?\| (`\w+`(?:, `\w+`)*) \|", _README.split("## Rooms")[1], re.MULTILINE)
    return [(room, re.findall(r"`(\w+)`", modules)) for room, modules in rows]


def _layers() -> list[set[str]]:
    project = tomllib.loads((_FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    return [set(layer.split(" | ")) for layer in contracts["gateway-rooms"]["layers"]]


def test_every_module_is_in_the_table_of_rooms() -> None:
    listed = [str(Path(room, f"{module}.py")) for room, modules in _rooms() for module in modules]
    files = [str(file.relative_to(_PACKAGE)) for file in _PACKAGE.rglob("*.py") if file.stem != "__init__"]
    assert sorted(listed) == sorted(files)


def test_the_table_of_rooms_is_in_the_order_of_the_import_contract() -> None:
    depth = {name: number for number, layer in enumerate(_layers()) for name in layer}
    depths = [depth[name] for room, modules in _rooms() for name in ([room] if room else modules)]
    assert depths == sorted(depths)


def test_a_call_enters_each_room_of_its_route_once_each_way() -> None:
    diagram = _README.split("sequenceDiagram")[1].split("```")[0]
    steps = re.findall(r"^    (\w+)(-?)->>(\w+):", diagram, re.MULTILINE)
    way_in = [(start, end) for start, back, end in steps if not back]
    way_out = [(start, end) for start, back, end in steps if back]
    assert steps == [(start, "", end) for start, end in way_in] + [(start, "-", end) for start, end in way_out]
    assert way_out == [(end, start) for start, end in reversed(way_in)]
    route = [start for start, _ in way_in] + [way_in[-1][1]]
    assert [end for _, end in way_in] == route[1:]
    assert (route[0], route[-1]) == ("client", "feast_serve")
    depth = {name: number for number, layer in enumerate(_layers()) for name in layer}
    depths = [depth[room] for room in route[1:-1]]
    assert depths == sorted(set(depths))
