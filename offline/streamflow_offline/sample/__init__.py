"""Generated months for a database that has none."""
