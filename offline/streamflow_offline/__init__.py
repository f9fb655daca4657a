"""Jobs on StreamFlow's month data: generate, ingest, apply, materialize, training set, skew audit."""
