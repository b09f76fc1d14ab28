"""The index: the only place where vectors, codes and the scan meet."""

from ipaq_index.index.flat import Index

__all__ = ["Index"]
