"""The pages: what the gateway serves, for people with a browser."""
