"""The training-serving skew audit: compares what the gateway serves with what training reads at the same instant."""
