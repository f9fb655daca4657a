"""Month folders of sample data: users of any number, with the distributions of StreamFlow's observed data."""

from streamflow_offline.generate.job import generate_months

__all__ = ["generate_months"]
