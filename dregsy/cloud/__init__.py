"""Clouds whose registries cannot be asked by the distribution API alone."""
