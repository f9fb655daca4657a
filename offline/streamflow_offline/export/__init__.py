"""The snapshots as Parquet, for Spark."""
