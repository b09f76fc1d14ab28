"""Rounding to levels, and what it costs by definition."""

import numpy as np
import numpy.typing as npt

from ipaq_index.levels.intervals import Floats
from ipaq_index.levels.values import checked_line, checked_objective, checked_weights, extremes

Indices = npt.NDArray[np.int64]


def cost(
    w: npt.ArrayLike, levels: npt.ArrayLike, objective: str = "adv", weights: npt.ArrayLike | None = None
) -> float:
    """Return what rounding values to levels costs, by definition.

    Parameters
    ----------
    w : (m,) array_like
        Values.
    levels : (s,) array_like
        Levels in any order. For "adv" and "mdv" they must reach from the least value to the largest.
    objective : {"adv", "asq", "mdv", "mse"}
        With the neighbouring levels ``a ≤ w ≤ b`` and ``v(w) = (b - w)(w - a)``, the variance of unbiased stochastic
        rounding: "adv" is ``Σ λ v(w)``, "mdv" is ``max λ v(w)``, "mse" is ``Σ λ (w - nearest level)²``. "asq" is "adv"
        without weights.
    weights : (m,) array_like, optional
        The λ, at least 0; ones by default.

    Returns
    -------
    float
        A sum, not a mean. The unit is that of ``w`` squared.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what is said above.
    """
    kind = checked_objective(objective)
    x, lam = checked_line(w, "w"), checked_weights(weights, np.size(w))
    extremes(x, "w")
    if kind == "asq" and len(lam):
        raise ValueError("weights: expected None for objective 'asq' ('adv' takes weights)")
    q = sorted_levels(levels)
    if kind == "mse":
        each = (x - q[nearest(x, q)]) ** 2
    else:
        below = lower_neighbour(x, q)
        above = np.minimum(below + 1, len(q) - 1)
        each = (q[above] - x) * (x - q[below])
    if len(lam):
        each *= lam
    return float(each.max() if kind == "mdv" else each.sum())


def vnmse(w: npt.ArrayLike, levels: npt.ArrayLike) -> float:
    """Return the variance of stochastic rounding over the squared norm: ``Σ v(w) / Σ w²``; 0 for all zeros.

    The error measure of gradient compression (vector-normalised mean squared error).
    """
    x = checked_line(w, "w")
    total = cost(x, levels, "asq")
    norm = float(x @ x)
    return total / norm if norm > 0.0 else 0.0


def round_nearest(w: npt.ArrayLike, levels: npt.ArrayLike, return_index: bool = False) -> Floats | Indices:
    """Return each value's nearest level, the lower one of two as near.

    Parameters
    ----------
    w : (m,) array_like
        Values.
    levels : (s,) array_like
        Ascending levels.
    return_index : bool
        Return indices into ``levels`` instead.

    Returns
    -------
    (m,) float64, or int64 with ``return_index``
    """
    x = checked_line(w, "w")
    extremes(x, "w")
    q = ascending_levels(levels)
    chosen = nearest(x, q)
    return chosen if return_index else q[chosen]


def round_stochastic(
    w: npt.ArrayLike,
    levels: npt.ArrayLike,
    rng: np.random.Generator | int | None = None,
    return_index: bool = False,
) -> Floats | Indices:
    """Return for each value one of its two neighbouring levels, drawn such that it is the value on average.

    Parameters
    ----------
    w : (m,) array_like
        Values, none outside the levels.
    levels : (s,) array_like
        Ascending levels.
    rng : numpy Generator or int, optional
        Source of randomness, or its seed; the same seed gives the same result.
    return_index : bool
        Return indices into ``levels`` instead.

    Returns
    -------
    (m,) float64, or int64 with ``return_index``
        Of mean ``w`` and variance ``(b - w)(w - a)`` over draws, a and b being w's neighbours.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what is said above; a value outside the levels cannot be rounded without bias.
    """
    x = checked_line(w, "w")
    extremes(x, "w")
    q = ascending_levels(levels)
    below = lower_neighbour(x, q)
    above = np.minimum(below + 1, len(q) - 1)
    # Halved, as the gap between levels near the largest float would overflow.
    gap = q[above] / 2 - q[below] / 2
    share = np.divide(x / 2 - q[below] / 2, gap, out=np.zeros(len(x)), where=gap > 0)
    chosen = np.where(generator(rng).random(len(x)) < share, above, below)
    return chosen if return_index else q[chosen]


def generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    """Return a generator, or raise TypeError or ValueError."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None and (isinstance(rng, bool) or not isinstance(rng, int | np.integer)):
        raise TypeError(f"rng: expected a numpy Generator, an integer or None, got {type(rng).__name__}")
    if rng is not None and rng < 0:
        raise ValueError(f"rng: expected a seed of at least 0, got {rng}")
    return np.random.default_rng(rng)


def nearest(x: Floats, q: Floats) -> Indices:
    """Return the index of the nearest of ascending levels."""
    return np.searchsorted(q[:-1] / 2 + q[1:] / 2, x)


def lower_neighbour(x: Floats, q: Floats) -> Indices:
    """Return the index of the largest level that is at most each value."""
    if x.min() < q[0] or x.max() > q[-1]:
        raise ValueError(
            f"levels: expected to reach from the least value to the largest, {x.min():g} to {x.max():g}, "
            f"got {q[0]:g} to {q[-1]:g}"
        )
    return np.searchsorted(q, x, side="right") - 1


def sorted_levels(levels: npt.ArrayLike) -> Floats:
    """Return levels sorted and without repetition, or raise."""
    q = checked_line(levels, "levels")
    extremes(q, "levels")
    return np.unique(q)


def ascending_levels(levels: npt.ArrayLike) -> Floats:
    """Return levels, or raise where they do not ascend: an index would not say which one is meant."""
    q = checked_line(levels, "levels")
    extremes(q, "levels")
    if (q[1:] < q[:-1]).any():
        raise ValueError("levels: expected ascending levels")
    return q
