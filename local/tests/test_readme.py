"""What the READMEs say to run is run, on a stack with generated data, and gives what they say it gives."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from feature_gateway.settings import Settings
from grpcurl import grpcurl
from stack_under_test import BIN, CHECKOUT, Stack
from streamflow_loadtests.bench import documented
from streamflow_loadtests.bench.summary import draw

_READMES = [
    CHECKOUT / "README.md",
    *sorted(path for path in CHECKOUT.glob("*/README.md") if not path.parent.name.startswith(".")),
    CHECKOUT / "clients/python/README.md",
    CHECKOUT / "examples/python/README.md",
]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_RUN_ELSEWHERE = {
    "make up": "the stack fixtures",
    "make status": "test_stack",
    "make watch ARGS=--once": "test_watch",
    "make test": "this run",
    "make generate": "make check",
    "make bench": "loadtests/tests/test_bench",
    'make bench ARGS="--quick"': "loadtests/tests/test_bench",
    "make drill": "loadtests/tests/test_drill",
    "make soak": "loadtests/tests/test_soak",
    "make load": "loadtests/tests/test_load",
    ". .local/env && .venv/bin/python -m streamflow_loadtests.training_set 1000x2 --runs 1": (
        "loadtests/tests/test_training_set_benchmark"
    ),
    ".venv/bin/feature-gateway": "gateway/tests/test_server",
    (
        ". .local/env && export GATEWAY_GRPC_ENGINE=native\n"
        ".venv/bin/python loadtests/tests/support/without_traces.py .local/without-traces\n"
        ".venv/bin/python loadtests/tests/support/tracing_cost.py .local/without-traces/feature-gateway"
    ): "test_measured_costs",
    ". .local/env && .venv/bin/offline flow --data .local/example --out .local/example/audited": (
        "local/tests/test_flow"
    ),
    (
        ". .local/env && export FEAST_OFFLINE_STORE=spark FEAST_SPARK_DATA=$PWD/.local/example/spark\n"
        ".venv/bin/offline apply\n"
        ".venv/bin/offline training-set --out .local/example/over-spark\n"
        ".venv/bin/python -m streamflow_repo.settings --job .venv/bin/feast -c feature_repo materialize"
        " 2024-01-01 2024-12-31"
    ): "offline/tests/test_spark_commands",
    ".venv/bin/pytest -q gateway": "this run",
    ".venv/bin/pytest -q clients": "this run",
    ".venv/bin/pytest -q examples/python": "this run",
    ".venv/bin/pytest -q offline": "this run",
    ".venv/bin/pytest -q k8s": "this run",
    ".venv/bin/pytest -q monitoring": "this run",
    ".venv/bin/monitoring results": "monitoring/tests/test_live_prometheus",
}


def _blocks() -> list[tuple[str, str, str, str]]:
    """Every README's blocks: file, language, text, and the text of the block that follows."""
    found = []
    for readme in _READMES:
        blocks = _BLOCK.findall(readme.read_text(encoding="utf-8"))
        for index, (language, text) in enumerate(blocks):
            following = blocks[index + 1] if index + 1 < len(blocks) else ("", "")
            expected = following[1] if following[0] in {"text", "json"} else ""
            found.append((str(readme.relative_to(CHECKOUT)), language, text.strip(), expected))
    return found


_COMMANDS = [block for block in _blocks() if block[1] == "sh" and block[2] not in _RUN_ELSEWHERE]
_PROGRAMS = [block for block in _blocks() if block[1] == "python"]
# Of the others, the gateway is not one of `make up`.
_GRPCURL = [block for block in _blocks() if block[2].startswith("grpcurl ") and block[0] == "gateway/README.md"]


@pytest.fixture(scope="module", params=["plain", "secure"])
def readme_stack(request: pytest.FixtureRequest) -> Stack:
    """A stack that was started as the READMEs say, without SECURE=1 and with it."""
    found: Stack = request.getfixturevalue("secure_stack" if request.param == "secure" else "own_servers_stack")
    return found


def _here(text: str, stack: Stack, folder: Path) -> str:
    """A README's text for the stack under test: its ports, its state, its programs."""
    config = stack.config
    actual = {
        ".local/example": str(folder),
        ".local/env": str(stack.layout.environment_file),
        "../.venv/bin": str(BIN),
        ".venv/bin": str(BIN),
        "localhost:8000": f"127.0.0.1:{config.gateway_http_port}",
        "127.0.0.1:50051": f"127.0.0.1:{config.gateway_grpc_port}",
    }
    return re.sub("|".join(re.escape(written) for written in actual), lambda match: actual[match[0]], text)


def _environment(stack: Stack) -> dict[str, str]:
    """What a README's reader has: the client's default target, and the modules beside the example."""
    return {
        "STREAMFLOW_FEATURES_TARGET": f"127.0.0.1:{stack.config.gateway_grpc_port}",
        "PYTHONPATH": str(CHECKOUT / "examples" / "python"),
    }


@pytest.fixture(scope="module")
def example(readme_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(f"readme-{readme_stack.layout.state.name}") / "example"


def _written_for(stack: Stack, file: str, text: str) -> str:
    """A command or program as its README says to write it for a stack like this."""
    if not stack.config_as_started.secure:
        return text
    readme = (CHECKOUT / file).read_text(encoding="utf-8")
    if "-plaintext" in text:
        [flags] = re.findall(r"write\s`([^`]+)`\sinstead\sof\s`-plaintext`", readme)
        return text.replace("-plaintext", flags)
    if "grpc.insecure_channel" in text:
        [channel] = [block for language, block in _BLOCK.findall(readme) if language == "py"]
        return re.sub(r"^with grpc\.insecure_channel.*\n", lambda _: channel, text, flags=re.MULTILINE)
    return text


def _in_shell(stack: Stack, *command: str) -> list[str]:
    """A command in the shell of the README's reader, who has read `.local/env` of a secure stack."""
    return stack.in_shell(*command) if stack.config_as_started.secure else [*command]


def _run(command: list[str], **environment: str) -> str:
    result = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("file", "expected", "program"), [(file, out, text) for file, _, text, out in _PROGRAMS])
def test_a_program_prints_what_its_readme_says(
    readme_stack: Stack, example: Path, file: str, expected: str, program: str
) -> None:
    shown = _here(_written_for(readme_stack, file, program), readme_stack, example)
    output = _run(_in_shell(readme_stack, sys.executable, "-c", shown), **_environment(readme_stack))
    assert output
    if expected:
        assert output == expected, file


@pytest.mark.slow
@pytest.mark.parametrize(("file", "expected", "command"), [(file, out, text) for file, _, text, out in _COMMANDS])
def test_a_command_does_what_its_readme_says(
    readme_stack: Stack, example: Path, file: str, expected: str, command: str
) -> None:
    shown = _here(command, readme_stack, example)
    strict = ("bash", "-eu", "-o", "pipefail", "-c", shown)
    output = _run(_in_shell(readme_stack, *strict), **_environment(readme_stack))
    if expected:
        assert json.loads(output) == json.loads(expected), file


@pytest.mark.slow
@pytest.mark.parametrize(("file", "command"), [(file, text) for file, _, text, _ in _GRPCURL])
def test_a_call_by_grpcurl_is_answered(readme_stack: Stack, file: str, command: str) -> None:
    # As the shell gives them to it.
    told = f'grpcurl() {{ printf "%s\\0" "$@"; }}\n{_written_for(readme_stack, file, command)}'
    words = _run(_in_shell(readme_stack, "bash", "-euc", told)).split("\0")[:-1]
    answer = grpcurl(words, readme_stack.gateway)
    assert "PRESENT" in json.dumps(answer)


@pytest.mark.slow
def test_the_answer_in_the_readme_is_the_one_that_up_prints(own_servers_stack: Stack) -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    printed = {" ".join(line.split()) for line in own_servers_stack.local("up").stdout.splitlines()}
    shown = [line for line in readme.splitlines() if line.startswith("  ") and "PRESENT  2024" in line]
    assert len(shown) == 3
    assert {" ".join(line.split()) for line in shown} <= printed


def test_every_make_target_in_the_readme_exists() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"`make (?:-s )?([a-z-]+)", readme))
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert {"up", "down", "status", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_file_that_contributing_names_exists_and_each_exercise_touches_at_most_three() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.-]+/)+[\w-]+\.\w+)`", text)
    assert len(named) >= 9
    for path in named:
        assert (CHECKOUT / path).is_file(), path
    exercises = text.partition("## Three exercises")[2].split("| file | change |")[1:]
    assert [len(re.findall(r"^\| `", exercise, re.MULTILINE)) <= 3 for exercise in exercises] == [True] * 3


def test_every_link_between_the_documents_leads_to_a_heading_or_a_file() -> None:
    links = 0
    for document in (*_READMES, *CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")):
        text = document.read_text(encoding="utf-8")
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), f"{document}: {path}"
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
            slugs = {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
            assert not anchor or anchor in slugs, f"{document}: {path}#{anchor}"
            links += 1
    assert links > 30


def test_the_documents_tables_and_plot_are_made_of_the_figures(tmp_path: Path) -> None:
    figures = CHECKOUT / documented.FIGURES
    document = (CHECKOUT / documented.DOCUMENT).read_text(encoding="utf-8")
    tables = documented.tables(json.loads(figures.read_bytes()))
    assert all(f"<!-- table {name} -->\n{table}<!-- end -->" in document for name, table in tables.items())
    assert documented.filled(document, tables) == document
    draw(figures, tmp_path / "summary.svg")
    assert (tmp_path / "summary.svg").read_bytes() == (CHECKOUT / documented.PLOT).read_bytes()


def test_every_setting_of_the_gateway_is_in_its_table_with_its_default() -> None:
    readme = (CHECKOUT / "gateway" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(GATEWAY_\w+)` \| (\S+) \|", readme, re.MULTILINE))
    defaults = Settings()
    fields = Settings.__dataclass_fields__
    assert rows == {field.metadata["variable"]: _written(getattr(defaults, name)) for name, field in fields.items()}


def _written(value: object) -> str:
    """A setting's default as its table has it."""
    if value in (None, "", ()):
        return "none"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_module_is_in_its_folders_table() -> None:
    for package in ("gateway/feature_gateway", "local/streamflow_local", "offline/streamflow_offline"):
        folder = CHECKOUT / package
        readme = (folder.parent / "README.md").read_text(encoding="utf-8")
        for module in folder.glob("*.py"):
            if module.stem != "__init__":
                assert f"`{module.stem}`" in readme, module
