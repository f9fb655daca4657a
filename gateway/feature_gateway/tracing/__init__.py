"""Spans of calls and reads, for who samples them; nothing here is imported from OpenTelemetry until `setup` is used."""
