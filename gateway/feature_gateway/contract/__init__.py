"""What the gateway knows of the definitions: loads, validates, resolves selections, reloads."""
