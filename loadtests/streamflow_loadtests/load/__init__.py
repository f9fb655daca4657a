"""The load test: locust users on the gateway's two sides and on `feast serve`, over the same users and features."""
