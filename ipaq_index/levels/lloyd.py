"""Level sets for rounding to nearest: Lloyd's iteration on sorted values (Lloyd, 1982, method I)."""

import numpy as np
import numpy.typing as npt

MAX_BITS = 8
ITERATIONS = 40
KNOTS = 1024  # quantiles that the density of the values is read from

Levels = npt.NDArray[np.float64]


def kmeans_sets(values: npt.ArrayLike) -> tuple[list[Levels], npt.NDArray[np.float64]]:
    """Return level sets of 1, 2, 4, …, 256 levels and the mean squared error of each.

    Parameters
    ----------
    values : (m,) array_like
        The values to be rounded.

    Returns
    -------
    sets : list of 9 arrays
        ``sets[b]`` holds at most ``2**b`` sorted different levels, fewer where the values are fewer.
    errors : (9,) float64
        Mean squared distance of the values to the nearest level of each set.
    """
    v = np.sort(np.asarray(values, dtype=np.float64))
    # Centred sums: with a common offset, differences of plain prefix sums would cancel.
    centre = v.mean()
    v = v - centre
    sums = np.concatenate([[0.0], np.cumsum(v)])
    sets = [_lloyd(v, sums, 2**b) for b in range(MAX_BITS + 1)]
    errors = np.array([np.mean((v - levels[np.searchsorted(midpoints(levels), v)]) ** 2) for levels in sets])
    return [levels + centre for levels in sets], errors


def midpoints(levels: Levels) -> Levels:
    """Return the boundaries between neighbouring levels' cells."""
    return (levels[1:] + levels[:-1]) / 2


def _lloyd(v: Levels, sums: Levels, s: int) -> Levels:
    """Iterate from `_companded` levels until they stand still; an empty cell's level is dropped."""
    levels = _companded(v, s)
    for _ in range(ITERATIONS):
        edges = np.concatenate([[0], np.searchsorted(v, midpoints(levels)), [len(v)]])
        sizes = np.diff(edges)
        filled = sizes > 0
        means = np.diff(sums[edges])[filled] / sizes[filled]
        if len(means) == len(levels) and np.allclose(means, levels, rtol=1e-7, atol=0):
            break
        levels = np.unique(means)
    return levels


def _companded(v: Levels, s: int) -> Levels:
    """Return ``s`` levels whose density is that of the values to the power 1/3.

    That is optimal for many levels (Panter and Dite, 1951). Started from quantiles instead, Lloyd's iteration is still
    4 % from the optimum for 16 levels of a normal distribution after 40 rounds; from here, below 1 %.
    """
    knots = v[np.linspace(0, len(v) - 1, min(len(v), KNOTS)).astype(np.int64)]
    # Between two knots lies the same share of values, so their density is one over the gap h, and the integral of its
    # cube root over the gap is h^(2/3).
    position = np.concatenate([[0.0], np.cumsum(np.diff(knots) ** (2 / 3))])
    return np.unique(np.interp((np.arange(s) + 0.5) / s * position[-1], position, knots))
