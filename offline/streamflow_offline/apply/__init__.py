"""The feature definitions applied with Feast, and their contract written."""
