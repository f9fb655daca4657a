"""How many replicas a target takes: what calls cost, measured, and what follows for rates that were not."""
