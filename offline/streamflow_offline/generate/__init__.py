"""Generated StreamFlow months, as like the observed ones as the project needs, for any number of users and months."""

from streamflow_offline.generate.job import generate_months

__all__ = ["generate_months"]
