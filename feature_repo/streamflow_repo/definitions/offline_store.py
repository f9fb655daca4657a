"""FEAST_OFFLINE_STORE: the engine that reads training data, and with it the kind of the feature views' sources."""

import os
from collections.abc import Mapping
from enum import Enum
from urllib.parse import urlsplit

from streamflow_repo.errors import OfflineStoreError


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
