"""`local watch`: the stack's processes and what its gateway does, on a terminal."""
