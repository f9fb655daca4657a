"""The client of StreamFlow feature serving."""
