"""Spark in this process, and StreamFlow's definitions over it."""

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

_DEFAULTS = """\
spark.master local[2]
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.log.level ERROR
spark.sql.shuffle.partitions 2
spark.sql.adaptive.enabled false
spark.ui.enabled false
"""
_DEFINITIONS = ("sources", "views", "on_demand", "services")


def write_defaults(conf_dir: Path) -> None:
    """Write the settings of a small Spark into a folder for SPARK_CONF_DIR."""
    conf_dir.mkdir()
    (conf_dir / "spark-defaults.conf").write_text(_DEFAULTS, encoding="utf-8")


@contextmanager
def chosen_spark(data: Path, conf_dir: Path) -> Iterator[None]:
    """Have FEAST_OFFLINE_STORE name Spark for a block, which ends with Spark stopped."""
    write_defaults(conf_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEAST_OFFLINE_STORE", "spark")
        patch.setenv("FEAST_SPARK_DATA", str(data))
        patch.setenv("SPARK_CONF_DIR", str(conf_dir))
        # Neither is to be what starts Spark.
        patch.setenv("JAVA_HOME", "/nowhere")
        patch.delenv("PYSPARK_PYTHON", raising=False)
        # All times are in UTC, wherever the job runs.
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        try:
            yield
        finally:
            _stop()
    time.tzset()


@contextmanager
def definitions() -> Iterator[ModuleType]:
    """Yield the definitions as the environment has them now, instead of those that are loaded."""
    names = [f"streamflow_repo.definitions.{name}" for name in _DEFINITIONS]
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield [importlib.import_module(name) for name in names][-1]


def _stop() -> None:
    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()
    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        # Java ends with its standard input.
        process = gateway.proc
        process.stdin.close()
        process.wait(timeout=30)
        SparkContext._gateway = SparkContext._jvm = None
