"""Index files: written whole or not at all, brought up to date by appending, read with every byte checked."""

from ipaq_index.storage.append import sync
from ipaq_index.storage.errors import IndexFileError
from ipaq_index.storage.file import describe, from_bytes, load, save, to_bytes, verify

__all__ = ["IndexFileError", "describe", "from_bytes", "load", "save", "sync", "to_bytes", "verify"]
