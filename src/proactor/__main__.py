"""``python -m proactor``: the command line."""

import sys

from proactor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
