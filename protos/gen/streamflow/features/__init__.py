"""StreamFlow feature serving APIs, by version."""
