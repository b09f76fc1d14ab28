"""Packed codes to best rows: sees codes, tables and scales only. Owns speed."""

from ipaq_index.scan.layout import BLOCK, Layout
from ipaq_index.scan.packed import CodeBook, PackedCodes
from ipaq_index.scan.reservoir import Lift
from ipaq_index.scan.search import range_search, score_rows, top_k, top_k_lists
from ipaq_index.scan.waiting import MANY

__all__ = [
    "BLOCK", "MANY", "CodeBook", "Layout", "Lift", "PackedCodes", "range_search", "score_rows", "top_k", "top_k_lists",
]  # fmt: skip
