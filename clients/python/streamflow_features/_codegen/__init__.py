"""Writes a module of typed features from a contract."""
