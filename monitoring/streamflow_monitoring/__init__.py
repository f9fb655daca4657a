"""Dashboards, rules, and the manifests that bring them."""
