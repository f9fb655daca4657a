"""`python -m streamflow_loadtests.load`: the command `load`."""

from streamflow_loadtests.load.command import main

main()
