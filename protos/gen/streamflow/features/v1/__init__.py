"""The generated messages and stubs of streamflow.features.v1."""
