"""A deployment's URLs, password files and choices, as the variables that feature_store.yaml reads."""
