"""`python3 -m mojomail` is the command `mojomail`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
