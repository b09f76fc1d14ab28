"""Index files: written whole or not at all, read with every byte checked."""

from ipaq_index.storage.file import load, save

__all__ = ["load", "save"]
