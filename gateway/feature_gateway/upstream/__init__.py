"""The only room that talks to `feast serve`: replicas, retries, hedging, Feast's JSON and errors."""
