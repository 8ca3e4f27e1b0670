"""One asyncio client for the OCI distribution API."""
