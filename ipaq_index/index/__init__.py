"""The index: the only place where vectors, codes and the scan meet."""

from ipaq_index.index.factory import index_factory
from ipaq_index.index.index import Index

__all__ = ["Index", "index_factory"]
