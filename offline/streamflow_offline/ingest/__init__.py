"""Month folders into PostgreSQL: every file is checked before anything is written, a month is written as a whole."""

from streamflow_offline.ingest.job import ingest
from streamflow_offline.ingest.load import MonthReport, TableReport
from streamflow_offline.ingest.schema import create_tables

__all__ = ["MonthReport", "TableReport", "create_tables", "ingest"]
