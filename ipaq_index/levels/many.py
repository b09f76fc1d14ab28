"""Level sets of many lines of values, and of many sizes, at once."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from ipaq_index.interruptible import mapped
from ipaq_index.levels.approximate import TRUSTED, Coreset, cells_for
from ipaq_index.levels.intervals import ADV, MSE, Floats
from ipaq_index.levels.solver import LevelSet, Method, finish_coreset, solve_prepared, solve_trivially
from ipaq_index.levels.values import Values, checked_count, checked_objective, checked_weights, prepare


@dataclass(frozen=True)
class LevelTable:
    """Level sets of several lines and sizes.

    Attributes
    ----------
    sizes : (k,) int64
        Numbers of levels asked for.
    costs : (lines, k) float64
        True costs.
    sets : list of lists
        ``sets[line][i]`` is the `LevelSet` of ``sizes[i]`` levels.
    """

    sizes: npt.NDArray[np.int64]
    costs: Floats
    sets: list[list[LevelSet]]


def solve_many(
    x: npt.ArrayLike,
    s: int | Iterable[int],
    objective: str = "adv",
    weights: npt.ArrayLike | None = None,
    method: str = "auto",
    axis: int = 0,
    threads: int | None = None,
) -> LevelTable:
    """Solve for every column of a matrix and for one or more sizes.

    Parameters
    ----------
    x : (m, d) array_like
        Values; each column is a problem of its own.
    s : int or several
        Sizes. All of 2, 4, …, 256 give the table that allocating bits to dimensions needs.
    objective, method
        As for `solve`; here "auto" is the default.
    weights : (m,) or (m, d) array_like, optional
        Weights, shared by all columns or each value's own.
    axis : {0, 1}
        1 if each row is a problem; lengths of ``weights`` change accordingly.
    threads : int, optional
        Threads; by default as many as there are cores to use. The result does not depend on it.

    Returns
    -------
    LevelTable

    Raises
    ------
    TypeError, ValueError
        As for `solve`.
    """
    matrix = np.asarray(x)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"x: expected a non-empty matrix, got shape {matrix.shape}")
    if axis not in (0, 1):
        raise ValueError(f"axis: expected 0 or 1, got {axis!r}")
    lines = matrix.T if axis == 0 else matrix
    sizes = [checked_count(one) for one in (s if isinstance(s, Iterable) else [s])]
    if not sizes:
        raise ValueError("s: expected at least one size, got none")
    kind = checked_objective(objective)
    if method not in get_args(Method) or (kind == "mdv" and method == "vmix"):
        raise ValueError(f"method: expected one of {', '.join(get_args(Method))} that suits {kind!r}, got {method!r}")
    if kind == "asq" and weights is not None:
        raise ValueError("weights: expected None for objective 'asq' ('adv' takes weights)")
    if threads is not None:
        threads = checked_count(threads, "threads", "thread")
    each: list[npt.ArrayLike | None]
    if weights is None or np.ndim(weights) < 2:
        each = [None if weights is None else checked_weights(weights, lines.shape[1])] * len(lines)
    else:
        own = np.asarray(weights)
        if own.shape != matrix.shape:
            raise ValueError(f"weights: expected the shape of x, {matrix.shape}, got {own.shape}")
        each = list(own.T if axis == 0 else own)

    def line(j: int) -> list[LevelSet]:
        values = prepare(lines[j], each[j], kind, False, f"x, {'column' if axis == 0 else 'row'} {j}")
        return solve_sizes(values, sizes, "adv" if kind == "asq" else kind, method)

    sets = mapped(line, range(len(lines)), threads or len(os.sched_getaffinity(0)))
    costs = np.array([[one.cost for one in row] for row in sets])
    return LevelTable(np.array(sizes), costs, sets)


def solve_sizes(values: Values, sizes: list[int], objective: str, method: str) -> list[LevelSet]:
    """Solve one line for several sizes; approximate solutions share coresets."""
    if objective == "mdv" or method not in ("auto", "vmix"):
        return [solve_prepared(values, s, objective, method, None) for s in sizes]
    kind = ADV if objective == "adv" else MSE
    coresets: dict[int, Coreset] = {}  # by size
    found = []
    for s in sizes:
        answer = solve_trivially(values, s, objective)
        if answer is None:
            cells = cells_for(s)
            if cells not in coresets:
                coresets[cells] = Coreset(values.x, values.weights, kind, cells)
            answer = finish_coreset(values, "vmix", coresets[cells], s - 1 if kind == ADV else s)
            if answer.cost > TRUSTED * answer.lower_bound:
                answer = solve_prepared(values, s, objective, "vmix", None)
        found.append(answer)
    return found
