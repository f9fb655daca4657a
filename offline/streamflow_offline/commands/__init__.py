"""The commands of `offline`, a module each. A command imports its job when it runs, so that `--help` is fast."""
