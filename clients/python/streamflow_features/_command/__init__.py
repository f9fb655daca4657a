"""The command `streamflow-features`: a module for each kind of subcommand."""
