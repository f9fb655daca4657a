"""The generated messages and stubs of feast.serving."""
