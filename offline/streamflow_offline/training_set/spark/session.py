"""This process's Spark session."""

from collections.abc import Iterator
from contextlib import contextmanager

from feast import FeatureStore
from feast.infra.offline_stores.contrib.spark_offline_store.spark import get_spark_session_or_start_new_with_repoconfig
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from streamflow_repo.settings.spark import offline_store_environment

from streamflow_offline.feast_store import environment_of
from streamflow_offline.training_set.failures import EngineFailedError


def spark_session(store: FeatureStore) -> SparkSession:
    """Return the session that Feast uses in this process, started with the settings of its offline store if need be.

    Raises EngineFailedError when Spark does not start.
    """
    with environment_of(offline_store_environment()), spark_errors():
        session: SparkSession = get_spark_session_or_start_new_with_repoconfig(store.config.offline_store)
        return session


@contextmanager
def spark_errors() -> Iterator[None]:
    """Turn what Spark raises into EngineFailedError, with the first line of what it said."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EngineFailedError(
            f"Spark failed: {said.removesuffix('.')}. Its data are in FEAST_SPARK_DATA, which `offline export` writes; "
            "its settings in spark-defaults.conf, in the folder of SPARK_CONF_DIR"
        ) from error
