"""Which axes vectors are coded along: those of the covariance, their own, or random ones.

Axes of the covariance are best for what a covariance tells, as long as bits can go where the variance is. It does not
tell that a rectifier, a count or a bag of words leaves most coordinates at one value: along their own axes these cost
next to nothing, along any other they are coordinates like all others: least where several have a symbol for their
patterns (`ipaq_index.quantizer.patterns`). And near eight bits a dimension, the most there
are, all dimensions get as many whatever their variance: then axes of the covariance leave most error along those that
most queries look along, and heavy tails, which fixed levels code badly, stay what they are; random axes spread the one
and mix the other. So where it may matter all are tried on the sample.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.interruptible import apart
from ipaq_index.quantizer import codebook, patterns, sample, scale, search, transform
from ipaq_index.quantizer.product import product
from ipaq_index.quantizer.transform import Transform

# Of the sample: rows that levels are fitted to and rows that errors are measured on, at most; queries; rows below which
# nothing is measured.
FITTED_ROWS, MEASURED_ROWS, QUERIES, LEAST_ROWS = 8_192, 2_048, 256, 64
# The share of the rows, the best for each query, whose scores count. Of the best 5 % own axes of sparse vectors leave
# up to three times as much error as of all, and recall lies between: a score that is too low loses a place to one
# that is too high.
BEST = 0.4
# Bits a dimension from which on random axes are tried for dense vectors too. Below, `python -m eval.axes` shows no
# gain, and it would be a tenth of the time of training.
MANY_BITS = 5
# Axes of the sample suit its rows, those measured included, better than later ones. Of 12 kinds of data at 1 to 8 bits
# (`python -m eval.axes`), recall with the axes taken is within 0.01 of the best, but for white ones at 2 bits (0.014).
HANDICAP = 1.05
# Codes are measured without a trellis, which takes more off the error of patterns than off that of levels for each
# dimension: where patterns pay it leaves 0.14 to 0.5 of it, of that of levels twice as much (0.3 to 0.6; 8 kinds of
# sparse vectors, 1 to 2 bits).
PATTERNS_GAIN = 0.5
# Rows for each dimension below which that is not enough: the error is then measured along axes of the other rows alone.
# Of 5,000 sparse vectors of 1,536-d (1 bit a dimension), recall with the axes taken rises from 0.56 to 0.63.
FEW_ROWS = 20


class Axes(NamedTuple):
    """A transform and where its directions come from.

    Attributes
    ----------
    transform : Transform
    origin : {"sample", "own", "random"}
        The covariance of the sample; the coordinates; nowhere.
    together : list of int, optional
        How many coordinates have each symbol together; see `ipaq_index.quantizer.patterns.sizes`.
    """

    transform: Transform
    origin: str
    together: list[int] | None = None


def fit(
    x: transform.Matrix,
    queries: transform.Matrix,
    r: float,
    kind: str = "auto",
    seed: int = 0,
    code_bits: int = 0,
    threads: int = 1,
    joint: bool = False,
) -> Axes:
    """Fit a transform; with "auto", along the axes that leave the least `score_error`.

    Parameters
    ----------
    x, queries, r, kind, seed
        See `transform.fit`.
    code_bits : int
        Bits of a code.
    threads : int
        Threads to use; the result does not depend on it.
    joint : bool
        Whether coordinates may have symbols together.

    Returns
    -------
    Axes
    """
    if kind != "auto":
        origin = {"pca": "sample", "none": "own", "random": "random"}[kind]
        return Axes(apart(transform.fit, x, queries, r, kind, seed), origin)
    fitted, weights = apart(transform.sample_axes, x, queries, r)
    first = Axes(fitted, "sample")
    own = Axes(transform.own_axes(x, fitted.mean, weights), "own")
    frequent = not np.array_equal(own.transform.mean, fitted.mean)  # some value is
    if (not frequent and code_bits < MANY_BITS * x.shape[1]) or len(x) < LEAST_ROWS:
        return first
    mixed = Axes(apart(transform.fit, x, queries, r, "random", seed), "random")
    others = [mixed]
    if frequent:
        others = [own, mixed]
        if joint:
            others += _together(x, own, code_bits)
    errors = [
        score_error(axes, x, queries, code_bits, threads) * (PATTERNS_GAIN if axes.together else 1) for axes in others
    ]
    best = int(np.argmin(errors))
    tried = first
    if len(x) < FEW_ROWS * x.shape[1]:
        asked = x[~_measured(x)] if queries is x else queries
        tried = first._replace(transform=apart(transform.sample_axes, x[~_measured(x)], asked, r)[0])
    return others[best] if errors[best] < HANDICAP * score_error(tried, x, queries, code_bits, threads) else first


def score_error(axes: Axes, x: transform.Matrix, queries: transform.Matrix, code_bits: int, threads: int) -> float:
    """Return the mean squared error of scores, of the vectors that are among the better ones for a query.

    Less error of vectors is not yet more recall: along a vector's own axes what is left lies in the coordinates that it
    shares with the queries that look for it. So it is scores that count. Codes are scalar, which does not change how
    axes compare; levels are fitted to other rows than are measured.

    Parameters
    ----------
    axes : Axes
    x, queries : (m, d), (nq, d) float32
        Samples; queries may be the vectors themselves.
    code_bits : int
        Bits of a code.
    threads : int
        Threads to use; the result does not depend on it.
    """
    measured = _measured(x)
    rows = np.ascontiguousarray(x[measured])
    asked = rows if queries is x else queries
    step = -(-len(asked) // QUERIES)
    q = np.ascontiguousarray(asked[::step])
    others = np.flatnonzero(~measured)
    y = level_rows(axes, x, others[:: -(-len(others) // FITTED_ROWS)], seed=0)
    if axes.together:
        found = patterns.fit_patterns(y, axes.together, threads)
        y = _coordinates(axes, rows)
        decoded = patterns.nearest(y, found, axes.together)
        products = ((y, y), (y, decoded), (decoded, decoded))
        sums = np.stack([np.einsum("ij,ij->i", a, b, dtype=np.float64) for a, b in products], axis=1)
    else:
        sets, length = codebook.fit_scalar(y, code_bits, threads)
        y = _coordinates(axes, rows)
        symbols, _, sums = search.choose_codes(y, codebook.scalar_tables(sets), codebook.lengths(sets, *length, 1))
        decoded = sets.levels[np.arange(y.shape[1]), symbols]
    decoded *= scale.scale_factors(sums).astype(np.float32)[:, None]
    errors = product(product(q, axes.transform.dual), np.ascontiguousarray((decoded - y).T))
    scores = product(q, np.ascontiguousarray(rows.T))
    if queries is x:  # a vector that looks for itself tells little
        scores[np.arange(len(q)), step * np.arange(len(q))] = -np.inf
    count = max(1, int(BEST * len(rows)))
    best = np.argpartition(scores, -count, axis=1)[:, -count:]
    return float(np.square(np.take_along_axis(errors, best, axis=1), dtype=np.float64).mean())


def _together(x: transform.Matrix, own: Axes, code_bits: int) -> list[Axes]:
    """Return own axes in an order in which neighbours have symbols together, if that suits."""
    energies = np.square(_coordinates(own, x), dtype=np.float64).mean(0)
    order = np.argsort(-energies, kind="stable")
    together = patterns.sizes(energies[order], code_bits)
    if not together:
        return []
    forward, dual = (np.ascontiguousarray(m[:, order]) for m in (own.transform.forward, own.transform.dual))
    return [Axes(Transform(own.transform.mean, forward, dual), "own", together)]


def _measured(x: transform.Matrix) -> npt.NDArray[np.bool_]:
    """Return which rows errors are measured on."""
    return np.arange(len(x)) % max(2, -(-len(x) // MEASURED_ROWS)) == 0


def level_rows(axes: Axes, x: transform.Matrix, rows: sample.Rows, seed: int) -> npt.NDArray[np.float32]:
    """Return the coordinates that level sets are fitted to: those of some rows of the sample, and of what may come.

    Vectors are coded with a length of choice, so here all get the same: levels for their own lengths would be spread
    over what no code needs. That takes half of the error off sparse vectors along their own axes (8 bits), and up to
    nine tenths off heavy-tailed ones along random axes. Not so along axes of the covariance: what levels for long
    vectors lose elsewhere they gain for those, which are the best for most queries (heavy tails, 50-d, 4 bits: recall
    0.956 instead of 0.940).
    """
    y = _coordinates(axes, x[rows])
    if axes.origin != "sample":
        energy = np.square(y, dtype=np.float64).sum(1)
        factors = np.sqrt(np.divide(energy.mean(), energy, out=np.zeros_like(energy), where=energy > 0))
        y *= factors.astype(np.float32)[:, None]
    return sample.prepared(y, len(x), transform.moment_rows(x) if axes.origin == "sample" else 0, seed)


def _coordinates(axes: Axes, x: transform.Matrix) -> npt.NDArray[np.float32]:
    return product(x - axes.transform.mean, axes.transform.forward)
