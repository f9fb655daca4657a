"""The route /rows/v1: rows as Redis holds them, encoded values and event timestamps, neither parsed nor made JSON."""
