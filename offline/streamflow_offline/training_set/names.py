"""Names that a training set's columns, files and temporary tables have."""

EVENT_TIMESTAMP = "event_timestamp"
"""The column with a row's time, to which its features are true; the name that Feast expects."""

AS_OF = "as_of"
"""The column, in Parquet the partition, with the day of a row's time in UTC."""

ENTITY_ROW = "entity_row"
"""The column with the place, from 0 on, of a row among the caller's own."""

OUTPUT_ROW = "output_row"
"""The column, in PostgreSQL alone, with the place of a row in the training set, from 1 on."""

ENTITIES_TABLE = "training_set_entities"
"""The temporary table of entity rows in the order of the training set."""

ASKED_TABLE = "training_set_asked"
"""The temporary table of the caller's rows in the order that they came in."""

MANIFEST = "_manifest.json"
"""The manifest in a Parquet dataset; what reads datasets passes over names that begin with an underscore."""
