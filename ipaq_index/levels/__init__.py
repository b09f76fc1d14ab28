"""Level sets on the line: pure one-dimensional mathematics."""

from ipaq_index.levels.many import LevelTable, solve_many
from ipaq_index.levels.rounding import cost, round_nearest, round_stochastic, vnmse
from ipaq_index.levels.solver import LevelSet, solve

__all__ = ["LevelSet", "LevelTable", "cost", "round_nearest", "round_stochastic", "solve", "solve_many", "vnmse"]
