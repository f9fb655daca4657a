"""Where a feature view's Parquet is, and whether it is as it was."""

import hashlib
from typing import TYPE_CHECKING

from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.spark.session import spark_errors

if TYPE_CHECKING:
    from feast import FeatureView
    from pyspark.sql import SparkSession


def source_path(view: "FeatureView") -> str:
    """Return the folder or URI of a view's Parquet. Raises JobError for a source of another kind."""
    source = view.batch_source
    if not isinstance(source, SparkSource) or not source.path or source.file_format != "parquet" or "`" in source.path:
        raise JobError(
            f"{view.name} is not applied with Parquet as its source, and FEAST_OFFLINE_STORE is spark; run `offline "
            "apply` with it, or set it to postgres"
        )
    return str(source.path)


def fingerprint(session: "SparkSession", path: str) -> str:
    """Return a value that changes with the files below a path: over their names, sizes and times of change."""
    reader = session.read.format("binaryFile").option("recursiveFileLookup", value=True)
    with spark_errors():
        files = reader.load(path).select("path", "length", "modificationTime").collect()
    lines = sorted(f"{file.path} {file.length} {file.modificationTime.timestamp()}\n" for file in files)
    return f"{len(lines)}:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
