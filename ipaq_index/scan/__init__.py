"""Packed codes to best rows: sees codes, tables and scales only. Owns speed."""

from ipaq_index.scan.layout import BLOCK, Layout
from ipaq_index.scan.packed import CodeBook, PackedCodes
from ipaq_index.scan.score import score_rows
from ipaq_index.scan.search import top_k

__all__ = ["BLOCK", "CodeBook", "Layout", "PackedCodes", "score_rows", "top_k"]
