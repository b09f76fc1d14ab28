"""Maximum inner-product search in compressed codes."""

__version__ = "0.1.0"
