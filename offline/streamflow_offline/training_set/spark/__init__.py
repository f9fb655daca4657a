"""Training sets over Spark, with the extra `spark`; nothing else imports PySpark."""
