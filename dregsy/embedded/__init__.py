"""A small OCI registry inside the process, for the demo and the tests."""
