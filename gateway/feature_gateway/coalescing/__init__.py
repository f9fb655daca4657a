"""Merges concurrent calls into one read: queue, turns, slots."""
