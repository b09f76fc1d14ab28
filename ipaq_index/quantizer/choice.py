"""Which axes vectors are coded along: those of the covariance, or their own.

Axes of the covariance are best for what a covariance tells. It does not tell that a rectifier, a count or a
bag of words leaves most coordinates at one value: along their own axes these cost next to nothing, along any other they
are coordinates like all others. So where a coordinate has such a value both are tried on paper.
"""

import numpy as np

from ipaq_index.interruptible import apart
from ipaq_index.quantizer import transform
from ipaq_index.quantizer.allocation import allocate
from ipaq_index.quantizer.codebook import trellis_errors
from ipaq_index.quantizer.lines import fit_lines
from ipaq_index.quantizer.product import product
from ipaq_index.quantizer.transform import Transform

ROWS = 1_024  # of the sample that errors are predicted on
# Own axes are taken where they leave less than this share of the error. What is left then lies in the coordinates that
# a vector shares with the queries that look for it, so that less error is not yet more recall. On 21 kinds of data at 2
# and 4 bits (`docs/quantizer.md`), recall never fell by more than chance below 0.7, and rose by up to 8 points; from
# 0.85 up it fell as often as it rose.
LEAST_GAIN = 0.7


def fit(
    x: transform.Matrix,
    queries: transform.Matrix,
    r: float,
    kind: str = "auto",
    seed: int = 0,
    code_bits: int = 0,
    threads: int = 1,
) -> tuple[Transform, bool]:
    """Fit a transform; with "auto", axes of the covariance or the vectors' own, by `predicted_error`.

    Parameters
    ----------
    x, queries, r, kind, seed
        See `transform.fit`.
    code_bits : int
        Bits of a code.
    threads : int
        Threads to use; the result does not depend on it.

    Returns
    -------
    fitted : Transform
    by_sample : bool
        Whether the directions of the axes come from the sample.
    """
    if kind != "auto":
        return apart(transform.fit, x, queries, r, kind, seed), kind == "pca"
    fitted, weights = apart(transform.sample_axes, x, queries, r)
    own = transform.own_axes(x, fitted.mean, weights)
    if np.array_equal(own.mean, fitted.mean):  # no value is frequent: spares a tenth of the time of training
        return fitted, True
    gain = predicted_error(own, x, code_bits, threads) < LEAST_GAIN * predicted_error(fitted, x, code_bits, threads)
    return (own, False) if gain else (fitted, True)


def predicted_error(fitted: Transform, x: transform.Matrix, code_bits: int, threads: int) -> float:
    """Return the squared error that codes would leave, weighted by S^r, without coding anything.

    The transforms that are compared have F F^T = S^r, or its diagonal where F is one: squared errors of coordinates
    add up to the same thing. Vectors are given one length, as they are when they are coded; then it is level sets and
    bits, fitted to some rows.

    Parameters
    ----------
    fitted : Transform
    x : (m, d) float32
        Sample.
    code_bits : int
        Bits of a code.
    threads : int
        Threads to use.

    Returns
    -------
    float
        Relative to the squared length of the vectors, times a factor that is the same for all transforms.
    """
    y = product(np.ascontiguousarray(x[:: -(-len(x) // ROWS)]) - fitted.mean, fitted.forward)
    energy = np.square(y, dtype=np.float64).sum(1)
    unit = y / np.sqrt(np.where(energy > 0, energy, 1)).astype(np.float32)[:, None]
    errors = trellis_errors(fit_lines(unit, threads).costs)
    bits = allocate(errors, code_bits)
    return float(errors[np.arange(len(bits)), bits].sum() * energy.mean())
