"""The native relay: copies straight from registry to registry, inside this process."""
