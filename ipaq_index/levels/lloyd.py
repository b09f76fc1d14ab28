"""Level sets for rounding to nearest: Lloyd's iteration on sorted values (Lloyd, 1982, method I)."""

import numpy as np
import numpy.typing as npt

MAX_BITS = 8
ITERATIONS = 40  # the cost changes by less than 0.1 % afterwards on Gaussian, Laplace and GloVe columns

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
    """Iterate from the quantiles until the levels stand still; an empty cell's level is dropped."""
    levels = np.unique(v[((np.arange(s) + 0.5) / s * len(v)).astype(np.int64)])
    for _ in range(ITERATIONS):
        edges = np.concatenate([[0], np.searchsorted(v, midpoints(levels)), [len(v)]])
        sizes = np.diff(edges)
        filled = sizes > 0
        means = np.diff(sums[edges])[filled] / sizes[filled]
        if len(means) == len(levels) and np.allclose(means, levels, rtol=1e-7, atol=0):
            break
        levels = np.unique(means)
    return levels
