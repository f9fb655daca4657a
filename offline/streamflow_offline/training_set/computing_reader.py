"""A reader that adds on-demand features to the rows of another reader, whichever engine that one reads with."""

import pyarrow as pa

from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.columns import DTYPES, Column
from streamflow_offline.training_set.definitions import Definitions
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.on_demand import refuse_unsendable
from streamflow_offline.training_set.reader import FeatureReader, entity_columns


class ComputingReader:
    """Computes on-demand features, and leaves out the columns that only their functions need."""

    def __init__(self, reader: FeatureReader, definitions: Definitions, staged: StagedEntities) -> None:
        self._reader = reader
        self._definitions = definitions
        self.packages = reader.packages
        self.point_in_time_sql = reader.point_in_time_sql
        stored = {column.name: column for column in reader.columns}
        computed = {view.name for view in definitions.on_demand_views}
        features = (
            Column(name=feature.name, type=DTYPES[feature.dtype], source_type=feature.view)
            if feature.view in computed
            else stored[feature.name]
            for feature in definitions.features
        )
        self.columns = (*entity_columns(definitions, staged), *features, *staged.carried)

    def fingerprint(self) -> dict[str, str]:
        """Return the fingerprint of the sources, and the source of each function."""
        functions = {view.name: view.function for view in self._definitions.on_demand_views}
        return self._reader.fingerprint() | functions

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in order, as FeatureReader says."""
        rows = self._reader.read(chunk)
        refuse_unsendable(rows, self._definitions.request)
        read = {name: rows.column(name) for name in rows.column_names}
        for view in self._definitions.on_demand_views:
            dtypes = {f.name: f.dtype for f in self._definitions.features if f.view == view.name}
            read |= view.outputs(rows, dtypes)
        return pa.table({column.name: read[column.name] for column in self.columns})

    def check_unchanged(self) -> None:
        """Do what the other reader does."""
        self._reader.check_unchanged()
