"""What look-ups tell of the levels that a row has: means, and how the levels spread about them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.inner import inner
from ipaq_index.scan.layout import NIBBLE, Layout
from ipaq_index.scan.walk import Numbers

ENTRIES = 1 << NIBBLE  # of a nibble's table
POINTS = 3  # that stand for all levels of a group
# A row's look-ups are below its exact score with probability e^-DOUBT at most; see eval/alone.py. Where little is
# unknown, e^-SURE, or what that margin of standard deviations of the scores allows: it lets few more rows wait.
DOUBT, SURE, CHEAP = 4.5, 12.5, 0.15
ALIKE = 1e-12  # of a group's variance: two values and a third that differs by less are two

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


class Known(NamedTuple):
    """What look-ups add up.

    Attributes
    ----------
    places : (n, 2) int64
        Dimension and nibble of each piece that is looked up; those with which a dimension begins come first, and among
        them, with a nibble behind the last, dimensions of which nothing is.
    widths : (n,) float32
        By how much the values of such a piece differ.
    points : (b, 6, 16) float32
        For each value of the nibble in which a dimension begins: three levels, ascending, and how frequent they are,
        which stand for all that have the piece's bits, less what the dimension's other pieces add; see `quadrature`.
    others : (n - b, 16) float32
        What the other pieces add for each value of their nibble.
    shares : (nibbles, 16) float32
        How frequent each value of a nibble is.
    variances : (2, d) float32
        Of each dimension's levels, and what is left of it when these pieces are known.
    """

    places: Integers
    widths: Floats
    points: Floats
    others: Floats
    shares: Floats
    variances: Floats


def known(layout: Layout | Numbers, levels: Floats, trellis: bool, pairs: int) -> Known:
    """Work out what is known.

    A piece's value is the mean level of the symbols that have its bits, less the values of the dimension's pieces
    before it; exact scoring takes the level itself.

    Parameters
    ----------
    layout : Layout or Numbers
    levels : (d, L) float32
        Level sets.
    trellis : bool
        Whether symbols stand for two levels each.
    pairs : int
        How many are looked up: the others tell nothing.
    """
    nibbles, every = 2 * pairs, np.arange(ENTRIES)
    variances = np.zeros((2, len(levels)), dtype=np.float32)
    of_nibbles = np.ones((nibbles, ENTRIES), dtype=np.float32)
    pieces = layout.pieces[layout.pieces[:, 3] < nibbles]
    begins = np.searchsorted(pieces[:, 0], np.arange(len(levels) + 1))
    first, later, groups = [], [], []
    for j in np.flatnonzero(layout.bits):
        left = levels[j, : 1 << int(layout.bits[j]) + trellis].astype(np.float64)
        shares = _shares(left)
        symbols = np.arange(len(left)) >> int(trellis)
        mean = shares @ left
        variances[0, j] = shares @ (left - mean) ** 2
        told = [((j, nibbles), np.full(1, mean), np.zeros(ENTRIES, dtype=np.int64))]
        for n, (_, shift, width, nibble, position) in enumerate(pieces[begins[j] : begins[j + 1]]):
            group = (symbols >> shift) & ((1 << width) - 1)
            frequent = np.bincount(group, shares)
            values = np.bincount(group, shares * left) / frequent
            left -= values[group]
            chosen = (every >> position) & (len(values) - 1)
            of_nibbles[nibble] *= frequent[chosen]
            told[n:] = [((j, nibble), values, chosen)]
        if begins[j] == begins[j + 1]:
            left -= mean
        variances[1, j] = shares @ left**2
        first.append(told[0])
        later += told[1:]
        groups.append((left.reshape(len(told[0][1]), -1), shares.reshape(len(told[0][1]), -1)))  # high bits: in order
    points = np.empty((len(first), 2 * POINTS, ENTRIES), dtype=np.float32)
    shapes = np.array([left.shape for left, _ in groups]).reshape(-1, 2)
    for shape in np.unique(shapes, axis=0):
        alike = np.flatnonzero((shapes == shape).all(axis=1))
        found, likely = quadrature(*(np.stack([groups[n][part] for n in alike]) for part in range(2)))
        for place, own, shares in zip(alike, found, likely, strict=True):
            _, values, chosen = first[place]
            points[place, :POINTS], points[place, POINTS:] = (values + own)[:, chosen], shares[:, chosen]
    told = first + later
    return Known(
        np.array([place for place, _, _ in told], dtype=np.int64).reshape(-1, 2),
        np.array([np.ptp(values) for _, values, _ in told], dtype=np.float32),
        points,
        np.array([values[chosen] for _, values, chosen in later], dtype=np.float32).reshape(-1, ENTRIES),
        of_nibbles,
        variances,
    )


@inner
def doubt(unknown: float, whole: float) -> float:
    """Return the D of `DOUBT` for scores of some variance, of which some is unknown."""
    return max(DOUBT, min(SURE, 0.5 * CHEAP * CHEAP * whole / unknown))


def quadrature(x: Doubles, weights: Doubles) -> tuple[Doubles, Doubles]:
    """Return Gauss's three points and their weights: sums over them are those over all, up to the fifth power.

    So ``log E[exp(s x)]`` takes three exponentials, not one a level: it is off by 0.4 % at s = 1.4 / sigma where levels
    are even, and 0.6 % on GloVe (4 bits) is all that margins differ by; with two points 8 %, with four 0.03 %.

    Parameters
    ----------
    x, weights : (m, g, l) float64
        Values of groups, and how frequent they are.

    Returns
    -------
    points, shares : (m, 3, g) float64
        Ascending; shares add up to 1.
    """
    weights = weights / weights.sum(-1, keepdims=True)

    def mean(*factors: Doubles) -> Doubles:
        found: Doubles = np.einsum(f"mgl{',mgl' * len(factors)}->mg", weights, *factors)
        return found

    centre = mean(x)
    x = x - centre[..., None]
    deviation = np.sqrt(mean(x, x))
    x /= np.where(deviation > 0, deviation, 1)[..., None]
    # Polynomials orthogonal over the values are 1, x, x^2 - skew x - 1, ...; the points are the roots of the third.
    square = x * x
    skew = mean(square, x)
    second = square - skew[..., None] * x - 1
    size = mean(second, second)
    size = np.where(size > ALIKE, size, 0)  # of two values the second is 0; then 0 is a point of no weight
    last = np.divide(mean(x, second, second), size, out=np.zeros_like(size), where=size > 0)
    # These are the eigenvalues of [[0, 1, 0], [1, skew, r], [0, r, last]], r^2 = size: a cubic's, by trigonometry.
    third = (skew + last) / 3
    radius = np.sqrt((third**2 + (skew - third) ** 2 + (last - third) ** 2 + 2 * (1 + size)) / 6)
    determinant = -third * ((skew - third) * (last - third) - size) - (last - third)
    angle = np.arccos(np.clip(determinant / (2 * radius**3), -1, 1)) / 3
    high, low = (third + 2 * radius * np.cos(angle + turn) for turn in (0, 2 * np.pi / 3))
    middle = 3 * third - high - low
    points = np.stack([low, middle, high], axis=1)
    shares = [
        (1 + a * b) / ((c - a) * (c - b)) for a, b, c in ((middle, high, low), (low, high, middle), (low, middle, high))
    ]
    return centre[:, None] + deviation[:, None] * points, np.maximum(np.stack(shares, axis=1), 0)


def _shares(levels: Doubles) -> Doubles:
    """Estimate how often each of some levels is used: they lie closer where there are more values.

    On GloVe and Debian, at 2 to 7 bits, frequencies go with the power -0.5 to -1.1 of the spacing; with -1, the
    variance that they give is 0.9 to 1.2 times the true one, with 0 it is 1.4 to 2.4 times that.
    """
    if levels.min() == levels.max() or len(levels) < 3:
        return np.full(len(levels), 1 / len(levels))
    order = np.argsort(levels, kind="stable")
    spacing = np.empty(len(levels))
    spacing[order] = np.gradient(levels[order])
    shares = 1 / np.maximum(spacing / spacing.max(), 1e-3)
    found: Doubles = shares / shares.sum()
    return found
