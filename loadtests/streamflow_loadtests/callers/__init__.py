"""Calls: how each kind of server is asked, how its replies are read, when calls begin."""
