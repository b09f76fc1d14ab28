"""The level sets that are compared."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ipaq_index import levels

Floats = npt.NDArray[np.float64]
SETS = ("uniform", "k-means", "ASQ", "ADV", "MDV")


def find(name: str, w: Floats, s: int, weights: Floats | None = None) -> Floats:
    """Return a level set that reaches from the least value to the largest, so that rounding can be unbiased.

    Parameters
    ----------
    name : str
        One of `SETS`. "uniform": evenly spaced (what scalar quantization does); "k-means": the least squared error of
        rounding to nearest, its outer levels moved to the ends; "ASQ": ADV without weights; "ADV", "MDV": the paper's.
    w : (m,) float64
        Values, not all equal.
    s : int
        Levels.
    weights : (m,) float64, optional
        E[x_i²] over queries x, for ADV.

    Returns
    -------
    (at most s,) float64
        Ascending.
    """
    return _FIND[name](w, s, weights)


def uniform(w: Floats, s: int, _: Floats | None = None) -> Floats:
    """Return evenly spaced levels."""
    return np.linspace(w.min(), w.max(), s)


def covering(found: Floats, w: Floats) -> Floats:
    """Return levels whose outer ones are moved to the ends of the values."""
    moved = found.copy()
    moved[0], moved[-1] = w.min(), w.max()
    return moved


def _solved(objective: str) -> Callable[[Floats, int, Floats | None], Floats]:
    def find(w: Floats, s: int, weights: Floats | None) -> Floats:
        return levels.solve(w, s, objective, weights=weights if objective == "adv" else None).levels

    return find


_FIND: dict[str, Callable[[Floats, int, Floats | None], Floats]] = {
    "uniform": uniform,
    "k-means": lambda w, s, _: covering(levels.solve(w, s, "mse").levels, w),
    "ASQ": _solved("asq"),
    "ADV": _solved("adv"),
    "MDV": _solved("mdv"),
}
