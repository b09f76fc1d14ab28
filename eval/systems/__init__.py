"""The systems that are compared, behind one small interface."""

from eval.systems.making import make, name_at
from eval.systems.system import SkippedError, System

__all__ = ["SkippedError", "System", "make", "name_at"]
