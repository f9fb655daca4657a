"""The generated messages of feast.types."""
