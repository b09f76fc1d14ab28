"""From the caller's values and weights to what solvers see: finite, sorted, different, near one in magnitude."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import Floats

Objective = Literal["adv", "asq", "mdv", "mse"]
SQUARES_FIT = 300  # exponents of two up to which sums of squares, and squares of gaps, are normal floats


@dataclass(frozen=True)
class Values:
    """Sorted different values with their weights.

    Attributes
    ----------
    x : (n,) float64
        Values, divided by ``2**exponent``.
    weights : (n,) float64 or (0,)
        Weights, divided by ``weight_unit``; empty for ones.
    exponent : int
        0, unless squares would overflow or underflow. Scaling by a power of two is exact.
    weight_unit : float
        Likewise a power of two.
    """

    x: Floats
    weights: Floats
    exponent: int
    weight_unit: float

    def cost(self, scaled: float) -> float:
        """Return a sum of weights times squares of values in the caller's units."""
        with np.errstate(over="ignore"):
            return float(np.ldexp(np.float64(scaled * self.weight_unit), 2 * self.exponent))

    def levels(self, scaled: Floats) -> Floats:
        """Return levels in the caller's units, sorted and different."""
        return np.unique(np.ldexp(scaled, self.exponent))


def checked_objective(objective: str) -> Objective:
    """Return the objective, or raise ValueError."""
    if objective not in get_args(Objective):
        raise ValueError(f"objective: expected one of {', '.join(get_args(Objective))}, got {objective!r}")
    return objective  # type: ignore[return-value]


def checked_count(s: object, name: str = "s", what: str = "level") -> int:
    """Return a number of levels or of something else, or raise."""
    if isinstance(s, bool) or not isinstance(s, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {type(s).__name__}")
    if s < 1:
        raise ValueError(f"{name}: expected at least 1 {what}, got {s}")
    return int(s)


def checked_line(w: npt.ArrayLike, name: str) -> Floats:
    """Return values as a (m,) float64 array, m ≥ 1; what is already one is not copied.

    Raises
    ------
    TypeError
        If they are not real numbers.
    ValueError
        If they are not one-dimensional, or none. Whether they are finite is for the caller to check.
    """
    if isinstance(w, np.ma.MaskedArray) and np.ma.is_masked(w):
        raise ValueError(f"{name}: expected plain values, got a masked array; select the values to count first")
    array = np.asarray(w)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty one-dimensional array, got shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.float64)


def checked_weights(weights: npt.ArrayLike | None, m: int) -> Floats:
    """Return weights as float64, empty where they are None, or raise."""
    if weights is None:
        return np.empty(0)
    array = checked_line(weights, "weights")
    if len(array) != m:
        raise ValueError(f"weights: expected as many as values, {m}, got {len(array)}")
    if not np.isfinite(array).all() or array.min() < 0:
        raise ValueError("weights: expected finite numbers of at least 0, got NaN, infinity or a negative number")
    return array


def extremes(values: Floats, name: str) -> tuple[float, float]:
    """Return the least and the largest value, or raise ValueError where values are not finite.

    NumPy's minimum and maximum hand NaN on, so these two passes are the check.
    """
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return low, high


def checked_eps(eps: object) -> float | None:
    """Return the share that a cost may exceed the optimum by, or raise."""
    if eps is None:
        return None
    if isinstance(eps, bool) or not isinstance(eps, int | float | np.integer | np.floating):
        raise TypeError(f"eps: expected a positive number, got {type(eps).__name__}")
    if not 0 < eps < np.inf:
        raise ValueError(f"eps: expected a positive number, got {eps!r}")
    return float(eps)


def prepare(
    w: npt.ArrayLike, weights: npt.ArrayLike | None, objective: Objective, assume_sorted: bool, name: str = "w"
) -> Values:
    """Check, sort and merge values.

    Parameters
    ----------
    w : (m,) array_like
        Values.
    weights : (m,) array_like, optional
        Weights.
    objective : str
        For MSE values of weight 0 are left out; for the others the least and the largest value stay, as rounding needs
        a level on both sides of every value. Of equal values, weights add up; for MDV the largest counts.
    assume_sorted : bool
        Whether the caller says that ``w`` is ascending; it is checked.
    name : str
        What messages call ``w``.
    """
    x = checked_line(w, name)
    lam = checked_weights(weights, len(x))
    if not assume_sorted:
        extremes(x, name)
        if len(lam):
            order = np.argsort(x, kind="stable")
            x, lam = x[order], lam[order]
        else:
            narrow = np.asarray(w).dtype == np.float32  # sorts in half the time
            x = np.sort(np.asarray(w)).astype(np.float64) if narrow else np.sort(x)
    different = count_different(x)
    if different == 0:
        extremes(x, name)
        raise ValueError(f"{name}: expected ascending values, as assume_sorted=True says, got a descent")
    low, high = extremes(x[:: max(1, len(x) - 1)], name)  # the ends: what ascends between them is finite
    exponent = int(np.frexp(max(abs(low), abs(high)))[1])
    weight_unit = 1.0
    if len(lam):
        weight_unit = float(np.ldexp(1.0, int(np.frexp(lam.max())[1]) - 1))
        if not weight_unit > 0.0:
            weight_unit = 1.0
        x, lam = merged(x, lam / weight_unit, objective != "mse", objective == "mdv")
    elif different < 0.9 * len(x):
        x, lam = merged(x, np.ones(len(x)), True, objective == "mdv")
        if objective == "mdv":
            lam = np.empty(0)
    if abs(exponent) > SQUARES_FIT:
        x = np.ldexp(x, -exponent)
    else:
        exponent = 0
    return Values(x, lam, exponent, weight_unit)


@njit(nogil=True, cache=True)
def count_different(x: Floats) -> int:
    """Return the number of different values of an ascending array, 0 if it is not ascending."""
    different = 1
    descents = 0
    for i in range(1, len(x)):
        different += x[i] != x[i - 1]
        descents += not x[i] >= x[i - 1]  # NaN included
    return different if descents == 0 else 0


@njit(nogil=True, cache=True)
def merged(x: Floats, weights: Floats, keep_ends: bool, largest: bool) -> tuple[Floats, Floats]:
    """Return the different values with their summed or largest weights, without those of weight 0 but the ends."""
    values, sums = np.empty(len(x)), np.empty(len(x))
    count = 0
    i = 0
    while i < len(x):
        value, total = x[i], 0.0
        while i < len(x) and x[i] == value:
            total = max(total, weights[i]) if largest else total + weights[i]
            i += 1
        end = keep_ends and (value == x[0] or value == x[-1])
        if total > 0.0 or end:
            values[count], sums[count] = value, total
            count += 1
    if count == 0:  # no weight at all: one value serves
        values[0], sums[0], count = x[0], 0.0, 1
    return values[:count].copy(), sums[:count].copy()
