"""dregsy keeps container images in step between registries."""

__version__ = "0.1.0"
