"""What a feature is: entities, sources, feature views and feature services."""
