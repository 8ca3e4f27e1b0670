"""What makers of registries offer beyond the distribution API; one file each; nothing is needed, all of it saves."""
