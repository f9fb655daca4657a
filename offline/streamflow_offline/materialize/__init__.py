"""Writes users' newest features to Redis, removes departed users there, and compares Redis with PostgreSQL."""
