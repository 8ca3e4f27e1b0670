"""``python -m dregsy`` is the ``dregsy`` command."""

from dregsy.cli import main

if __name__ == "__main__":
    main()
