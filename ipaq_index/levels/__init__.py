"""Level sets on the line: pure one-dimensional mathematics."""

from ipaq_index.levels.lloyd import MAX_BITS, kmeans_sets
from ipaq_index.levels.rounding import cost, round_nearest, round_stochastic, vnmse
from ipaq_index.levels.solver import LevelSet, solve

__all__ = ["MAX_BITS", "LevelSet", "cost", "kmeans_sets", "round_nearest", "round_stochastic", "solve", "vnmse"]
