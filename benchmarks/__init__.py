"""Figures beside those of other tools, on the same registries in the same run; never part of the tests."""
