"""Jobs at work while calls are answered, each a process of its own, as it is in production."""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from streamflow_local.process import inheritable
from streamflow_offline.feast_store import FEATURE_REPO, job_environment

from streamflow_loadtests.bed.bed import Bed, BedError

ADDED_SERVICE = "drill_v1"
"""The feature service that `apply_with_a_service_more` defines."""

_BIN = Path(sys.executable).parent
_DEFINITION = f"""
{ADDED_SERVICE} = FeatureService(name="{ADDED_SERVICE}", features=[subs_profile_fv[["months_active"]]])
"""


async def offline(bed: Bed, *words: str) -> None:
    """Run a command of `offline`. Raises BedError when it fails."""
    await _run(bed, str(_BIN / "offline"), *words)


async def materialize(bed: Bed, *options: str) -> None:
    """Run `offline materialize`. Raises BedError when it fails."""
    await offline(bed, "materialize", *options)


async def refused_materialize(bed: Bed) -> str:
    """Run `offline materialize`, and return what it said when it failed; "" when it did not."""
    code, output = await _output(bed, str(_BIN / "offline"), "materialize")
    return output if code else ""


async def apply(bed: Bed) -> None:
    """Run `feast apply` and the exporter on the definitions as they are; the bed's contract follows."""
    await _apply(bed, FEATURE_REPO)


async def apply_with_a_service_more(bed: Bed) -> None:
    """Run `feast apply` and the exporter on the definitions and ADDED_SERVICE; the bed's contract follows."""
    repo = bed.work / "feature_repo"
    if not repo.exists():
        shutil.copytree(FEATURE_REPO, repo, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        with (repo / "streamflow_repo" / "definitions" / "services.py").open("a", encoding="utf-8") as services:
            services.write(_DEFINITION)
    await _apply(bed, repo)


async def _apply(bed: Bed, repo: Path) -> None:
    await _run(bed, str(_BIN / "feast"), "apply", "--no-progress", repo=repo)
    new = bed.contract.with_suffix(".new")
    await _run(bed, sys.executable, "-m", "streamflow_repo.contract", "--path", str(new), repo=repo)
    # Whole or not at all, as a mounted ConfigMap changes.
    new.replace(bed.contract)


async def _run(bed: Bed, *command: str, repo: Path = FEATURE_REPO) -> None:
    code, output = await _output(bed, *command, repo=repo)
    if code:
        raise BedError(f"{' '.join(command)} failed:\n{output}")


async def _output(bed: Bed, *command: str, repo: Path = FEATURE_REPO) -> tuple[int | None, str]:
    """Run a command; return its exit code and the end of what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=repo,
        env=_environment(bed, repo),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode(errors="replace")[-1500:]


def _environment(bed: Bed, repo: Path) -> Mapping[str, str]:
    return {
        **inheritable(os.environ),
        **job_environment(postgres_url=bed.postgres_url, redis_url=bed.redis_url),
        "POSTGRES_URL": bed.postgres_url,
        "REDIS_URL": bed.redis_url,
        # Before the definitions that are installed.
        "PYTHONPATH": str(repo),
    }
