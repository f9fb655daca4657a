"""Training sets: entity rows with the features that were true at their time, read through Feast, written to files."""

from streamflow_offline.training_set.request import (
    DEFAULT_CHUNK_ROWS,
    OutputFormat,
    TrainingSetReport,
    TrainingSetRequest,
)

__all__ = ["DEFAULT_CHUNK_ROWS", "OutputFormat", "TrainingSetReport", "TrainingSetRequest"]
