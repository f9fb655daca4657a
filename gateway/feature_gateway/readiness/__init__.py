"""Canary reads through to the online store, and whether calls should be sent here."""
