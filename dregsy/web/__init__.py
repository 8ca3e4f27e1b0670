"""What a running dregsy tells over HTTP: metrics, and whether it is well."""
