"""StreamFlow's feature definitions: what a feature is, for training and for serving."""

from pathlib import Path

PROJECT = "streamflow"
"""Feast's project, as feature_store.yaml has it."""

JOIN_KEY = "user_id"

USER_ID_PATTERN = "^[0-9]{4}-[A-Z]{5}$"
"""What every user id looks like, in PostgreSQL, in Redis and in a request."""

CONTRACT_PATH = Path(__file__).resolve().parent.parent / "contract.json"
"""The contract of these definitions, as it is committed."""
