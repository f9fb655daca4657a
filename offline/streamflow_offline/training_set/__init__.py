"""Training sets: entity rows with the features that were true at their time, through Feast, into files."""

from streamflow_offline.training_set.build import TrainingSetReport, build_training_set
from streamflow_offline.training_set.request import DEFAULT_CHUNK_ROWS, OutputFormat, TrainingSetRequest

__all__ = ["DEFAULT_CHUNK_ROWS", "OutputFormat", "TrainingSetReport", "TrainingSetRequest", "build_training_set"]
