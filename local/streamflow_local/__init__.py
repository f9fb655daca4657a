"""The embedded stack: PostgreSQL, Valkey, feature server and gateway on one machine, for development and tests."""
