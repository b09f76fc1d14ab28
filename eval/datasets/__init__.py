"""Data sets behind one interface: vectors, unseen queries and, where there are any, training queries."""

from eval.datasets.dataset import Dataset, Metric, Vectors
from eval.datasets.loading import load
from eval.datasets.registry import ENTRIES, Entry

__all__ = ["ENTRIES", "Dataset", "Entry", "Metric", "Vectors", "load"]
