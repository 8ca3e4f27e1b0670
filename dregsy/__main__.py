"""``python -m dregsy`` is the ``dregsy`` command."""

import sys

from dregsy.cli import main

if __name__ == "__main__":
    sys.exit(main())
