"""Answers questions about users: checks them, keeps their deadlines, judges freshness."""
