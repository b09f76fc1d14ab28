"""Level sets on the line: pure one-dimensional mathematics."""

from ipaq_index.levels.lloyd import MAX_BITS, kmeans_sets

__all__ = ["MAX_BITS", "kmeans_sets"]
