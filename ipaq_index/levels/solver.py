"""The front door: which solver answers, and what it answers."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.approximate import TRUSTED, Coreset, Grid, cells_for
from ipaq_index.levels.exact import exact_path
from ipaq_index.levels.intervals import ADV, MSE, Floats
from ipaq_index.levels.mdv import exact_mdv
from ipaq_index.levels.sums import REASSOCIATE
from ipaq_index.levels.unsorted import mdv_in_cells, solve_in_cells
from ipaq_index.levels.values import (
    SQUARES_FIT,
    Values,
    checked_count,
    checked_eps,
    checked_line,
    checked_objective,
    checked_weights,
    extremes,
    prepare,
)

Method = Literal["exact", "vmix", "grid", "auto"]
SMALL = 1 << 14  # values that "auto" solves exactly, and that are always sorted
EPS = 0.01  # of approximate MDV
GRID_CELLS = 32  # per level


@dataclass(frozen=True)
class LevelSet:
    """A solved level set.

    Attributes
    ----------
    levels : (at most s,) float64
        Sorted and different. Fewer than asked for where the values are fewer.
    cost : float
        The true cost on all values, as `ipaq_index.levels.cost` defines it.
    objective : str
        "adv", "mdv" or "mse".
    method : str
        "exact", "vmix" or "grid": what "auto" chose, if that was asked for.
    lower_bound : float
        No level set of this size costs less (but for rounding). The cost itself where the method is exact.
    """

    levels: Floats
    cost: float
    objective: str
    method: str
    lower_bound: float

    @property
    def excess_bound(self) -> float:
        """At most this share above the optimum: ``cost / lower_bound - 1``."""
        if self.cost <= self.lower_bound:
            return 0.0
        return self.cost / self.lower_bound - 1 if self.lower_bound > 0 else float("inf")


def solve(
    w: npt.ArrayLike,
    s: int,
    objective: str = "adv",
    weights: npt.ArrayLike | None = None,
    method: str = "exact",
    eps: float | None = None,
    assume_sorted: bool = False,
) -> LevelSet:
    """Find the best ``s`` levels for values on the line.

    Parameters
    ----------
    w : (m,) array_like
        Values, m ≥ 1.
    s : int
        Levels, at least 1.
    objective : {"adv", "asq", "mdv", "mse"}
        What to minimise. "adv": the summed variance of stochastic rounding, weighted with ``weights`` ("asq": the
        same without weights). "mdv": the largest variance of any value. "mse": the summed squared error of rounding to
        nearest. The levels of the first three start at the least value and end at the largest, so that rounding can be
        unbiased.
    weights : (m,) array_like, optional
        Weights, at least 0; ones by default. For "adv", ``E[x_i²]`` over the queries x.
    method : {"exact", "vmix", "grid", "auto"}
        "vmix": the exact solver on a coreset that follows the tails, within 0.5 % in practice. "grid": the same on a
        uniform grid. "auto": exact for few values, "vmix" for many; for "mdv" the (1 + eps) solver, as "grid" is.
    eps : float, optional
        Proven share that the cost may exceed the optimum by. With it, "exact" counts as "auto".
        By default 0.01 for approximate "mdv"; for the others what `LevelSet.excess_bound` says.
    assume_sorted : bool
        Whether ``w`` is ascending, which saves sorting it. It is checked.

    Returns
    -------
    LevelSet

    Raises
    ------
    TypeError, ValueError
        If an argument is not what is said above, NaN, infinite or negative weights included, or if one level is asked
        for where stochastic rounding needs two.

    References
    ----------
    White and Singal, Inner Product Aware Quantization, arXiv:2606.00289.
    """
    kind = checked_objective(objective)
    count = checked_count(s)
    if method not in get_args(Method):
        raise ValueError(f"method: expected one of {', '.join(get_args(Method))}, got {method!r}")
    if kind == "asq" and weights is not None:
        raise ValueError("weights: expected None for objective 'asq' ('adv' takes weights)")
    eps = checked_eps(eps)
    if eps is not None and method == "exact":
        method = "auto"
    if kind == "mdv" and method == "vmix":
        raise ValueError("method: expected 'exact', 'grid' or 'auto' for objective 'mdv', got 'vmix'")
    if not assume_sorted and method != "exact" and count > 1 and np.size(w) > SMALL:
        found = solve_unsorted(w, weights, count, "adv" if kind == "asq" else kind, method, eps)
        if found is not None:
            return found
    values = prepare(w, weights, kind, assume_sorted)
    return solve_prepared(values, count, "adv" if kind == "asq" else kind, method, eps)


def solve_prepared(values: Values, s: int, objective: str, method: str, eps: float | None) -> LevelSet:
    """Solve for checked, sorted and merged values."""
    trivial = solve_trivially(values, s, objective)
    if trivial is not None:
        return trivial
    x, weights = values.x, values.weights
    if objective == "mdv":
        levels = exact_mdv(x, weights, s)
        cost = values.cost(sorted_cost(x, weights, levels, "mdv"))
        return LevelSet(values.levels(levels), cost, objective, "exact", cost)
    kind, k = (ADV, s - 1) if objective == "adv" else (MSE, s)
    if method == "auto":
        method = "exact" if len(x) <= SMALL else "vmix"
    if method != "exact":
        cells, first = cells_for(s), True
        limit = TRUSTED if eps is None else 1 + eps
        while first or cells < len(x) // 4:
            coreset = (Coreset if method == "vmix" else Grid)(x, weights, kind, cells)
            result = finish_coreset(values, method, coreset, k)
            # A grid is asked for as it is, where no bound is.
            if result.cost <= limit * result.lower_bound or (method == "grid" and eps is None):
                return result
            cells, first = 4 * cells, False  # the bound tightens in proportion
    return finish(values, "exact", kind, exact_path(x, weights, k, kind), None)


def solve_unsorted(
    w: npt.ArrayLike, weights: npt.ArrayLike | None, s: int, objective: str, method: str, eps: float | None
) -> LevelSet | None:
    """Solve approximately without sorting, or return None where that does not suit the values."""
    x = checked_line(w, "w")
    ends = extremes(x, "w")
    lam = checked_weights(weights, len(x))
    if abs(np.frexp(max(abs(ends[0]), abs(ends[1])))[1]) > SQUARES_FIT or (len(lam) and lam.max() == 0.0):
        return None
    if objective == "mdv":
        answer = None if len(lam) else mdv_in_cells(x, ends, s, EPS if eps is None else eps)
        method = "grid"
    else:
        kind = ADV if objective == "adv" else MSE
        method = "grid" if method == "grid" else "vmix"
        answer = solve_in_cells(x, lam, ends, s, kind, GRID_CELLS * s if method == "grid" else 0)
    if answer is None:
        return None
    levels, cost, lower = answer
    if eps is not None and cost > (1 + eps) * lower:
        return None
    return LevelSet(levels, cost, objective, method, min(lower, cost))


def solve_trivially(values: Values, s: int, objective: str) -> LevelSet | None:
    """Return the answer where every value has its level, or None where it needs a solver.

    Raises
    ------
    ValueError
        If there is no answer.
    """
    if s == 1 and objective != "mse" and len(values.x) > 1:
        raise ValueError(f"s: expected at least 2 levels for objective {objective!r}, as the values differ, got 1")
    if len(values.x) <= s:
        return LevelSet(values.levels(values.x), 0.0, objective, "exact", 0.0)
    return None


def finish(values: Values, method: str, kind: int, path: npt.NDArray[np.int64], lower: float | None) -> LevelSet:
    """Return the level set of a path, with its true cost; without a lower bound it is the optimum."""
    x, weights = values.x, values.weights
    levels = np.unique(x[path]) if kind == ADV else np.unique(run_means(x, weights, path))
    objective = "adv" if kind == ADV else "mse"
    cost = values.cost(sorted_cost(x, weights, levels, objective))
    return LevelSet(
        values.levels(levels), cost, objective, method, cost if lower is None else min(cost, values.cost(lower))
    )


def finish_coreset(values: Values, method: str, coreset: Coreset, k: int) -> LevelSet:
    """Return the level set of a coreset's best path of k intervals, without another pass over the values."""
    path, lower = coreset.path(k)
    levels, cost = coreset.levels(path)
    if cost is None:
        return finish(values, method, coreset.sums.kind, path, lower)
    cost, objective = values.cost(cost), "adv" if coreset.sums.kind == ADV else "mse"
    return LevelSet(values.levels(levels), cost, objective, method, min(cost, values.cost(lower)))


def sorted_cost(x: Floats, weights: Floats, levels: Floats, objective: str) -> float:
    """Return the cost of sorted levels for sorted values, each interval in one run over its values."""
    if objective == "mse":
        cuts = np.concatenate([[0], np.searchsorted(x, levels[:-1] / 2 + levels[1:] / 2), [len(x)]])
        return float(run_costs(x, weights, cuts, levels, levels, True).sum())
    if len(levels) == 1:
        return 0.0
    cuts = np.searchsorted(x, levels)
    each = run_costs(x, weights, cuts, levels[:-1], levels[1:], objective == "adv")
    return float(each.sum() if objective == "adv" else each.max())


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def run_costs(
    x: Floats, weights: Floats, cuts: npt.NDArray[np.int64], below: Floats, above: Floats, summed: bool
) -> Floats:
    """Return Σ or max of λ |above - w| |w - below| over each run of values between two cuts."""
    out = np.zeros(len(cuts) - 1)
    for r in range(len(out)):
        total, most = 0.0, 0.0
        a, b = below[r], above[r]
        for i in range(cuts[r], cuts[r + 1]):
            cost = abs((b - x[i]) * (x[i] - a))
            if len(weights):
                cost *= weights[i]
            total += cost
            most = max(most, cost)
        out[r] = total if summed else most
    return out


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def run_means(x: Floats, weights: Floats, cuts: npt.NDArray[np.int64]) -> Floats:
    """Return the weighted mean of each run of values between two cuts; runs are not empty."""
    out = np.empty(len(cuts) - 1)
    for r in range(len(out)):
        start = x[cuts[r]]
        total, first = 0.0, 0.0
        for i in range(cuts[r], cuts[r + 1]):
            weight = weights[i] if len(weights) else 1.0
            total += weight
            first += weight * (x[i] - start)
        out[r] = start + first / total
    return out
