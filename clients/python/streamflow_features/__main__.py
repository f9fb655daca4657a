"""`python -m streamflow_features`: the command `streamflow-features`."""

import sys

from streamflow_features._command.main import main

if __name__ == "__main__":
    sys.exit(main())
