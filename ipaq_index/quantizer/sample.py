"""What a sample tells about vectors yet to come."""

import numpy as np
import numpy.typing as npt

from ipaq_index.quantizer import transform

# Rows, for each dimension, below which axes found in the sample are not to be trusted, and rows below which no sample
# is; see `prepared`.
FEW_ROWS, LEAST_ROWS = 10, 256
# Of rows that level sets could all be fitted to, one in so many is held out, from so many rows on: levels know the
# outliers of their own rows, and scales measured on these end where those of later vectors begin.
HELD_OUT, SOME_ROWS = 16, 1_024
# Vectors of least and of largest length that scales are measured on too. Without, the longest of 40,000 later ones lie
# beyond all scales, and are the best answers: 0.03 of recall@10 where lengths differ much ("norms", 96-d, 4 bits).
EXTREMES = 32
FEW_VALUES = 4  # rows for each value but the most frequent one, of a coordinate that has few values
LEAST_CHANGE = 1.1  # of a variance that is worth a change
KERNEL = np.sqrt(5)  # half the width of Epanechnikov's kernel of variance 1

Vectors = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def apart(count: int, most: int) -> tuple[Rows, Rows]:
    """Return rows that level sets are fitted to, about ``most`` at most, and others for scales and errors.

    Of few rows there are no others: then they are the same.
    """
    rows, step = np.arange(count), -(-count // most)
    if step > 1:
        return rows[::step], rows[rows % step > 0]
    if count < SOME_ROWS:
        return rows, rows
    held_out = rows % HELD_OUT == HELD_OUT - 1
    return rows[~held_out], rows[held_out]


def extremes(x: Vectors, mean: Vectors) -> Vectors:
    """Return the vectors that lie farthest from the mean and closest to it: their scales are to be in range."""
    with np.errstate(over="ignore", invalid="ignore"):
        away = np.einsum("ij,ij->i", x, x) - 2 * (x @ mean)
    if len(x) > 2 * EXTREMES:
        x = x[np.argpartition(away, (EXTREMES, len(x) - EXTREMES))[np.r_[:EXTREMES, -EXTREMES:0]]]
    return x


def discrete(y: Vectors, levels: npt.NDArray[np.int64]) -> bool:
    """Return whether most coordinates, of (m, d), have no more values than levels, as counts and marks have.

    Then levels tell values and, by their distance from these, how far the row was stretched to be coded: what is left
    of one coordinate, when its high bits are known, goes with what is left of the others.
    """
    rows, coded = np.sort(y[:SOME_ROWS], axis=0), levels > 1
    values = 1 + (rows[1:] != rows[:-1]).sum(0)
    others = (rows != 0).sum(0)  # than the most frequent one, from which coordinates are counted
    few = (values <= levels) & (values - 1 <= others / FEW_VALUES)
    return bool(2 * few[coded].sum() > coded.sum())


def prepared(y: Vectors, size: int, axes_rows: int, seed: int) -> Vectors:
    """Return coordinates that level sets are fitted to: those of the sample, and of what may come.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates of some of the sample.
    size : int
        Vectors of the whole sample.
    axes_rows : int
        How many of them the axes were found in; 0 where the axes do not come from the sample.
    seed : int
        Of what is random.
    """
    if size < FEW_ROWS * y.shape[1] and (axes_rows or size < LEAST_ROWS):
        return spread(y, seed)
    return evened(y, axes_rows) if axes_rows else y


def spread(y: Vectors, seed: int) -> Vectors:
    """Return the sample and, below it, one whose second moment is Ledoit and Wolf's estimate for all vectors.

    Fewer rows than dimensions leave axes along which they do not vary at all; levels fitted to them would take all that
    later vectors have there to be 0. With noise of the variance that the estimate gives every axis, they do not. The
    rows themselves stay too: they may be all there is to code.
    """
    rows = y.astype(np.float64)
    moment = rows.T @ rows / len(rows)
    share = transform.shrinkage(float(np.square(np.square(rows).sum(1)).mean()), moment, len(rows))
    noise = np.random.default_rng([seed, *y.shape]).standard_normal(y.shape)
    estimate = np.sqrt(1 - share) * rows + np.sqrt(share * np.trace(moment) / len(moment)) * noise
    return np.concatenate([y, estimate.astype(np.float32)])


def evened(y: Vectors, axes_rows: int) -> Vectors:
    """Return the sample, half of it with the variances that later vectors will have.

    Axes found in a sample are those along which it happens to vary most and least: 10,000 white vectors of 384-d vary
    by 0.65 to 1.4 along theirs, later ones by 1, and leave the range of levels. The other half stays: these rows may be
    what there is to code.
    """
    variances = np.square(y, dtype=np.float64).mean(0)
    ratio = later_variances(variances, axes_rows) / np.where(variances > 0, variances, 1)
    if ratio.max() < LEAST_CHANGE:
        return y
    changed = y.copy()
    changed[1::2] *= np.sqrt(np.where(variances > 0, ratio, 1)).astype(np.float32)
    return changed


def later_variances(variances: Doubles, count: int) -> Doubles:
    """Estimate how far vectors yet to come vary along the axes of ``count`` that vary by ``variances`` along them.

    Ledoit and Wolf, "Analytical nonlinear shrinkage of large-dimensional covariance matrices", Annals of Statistics 48,
    2020, equations 4.1 to 4.9: the density f of the eigenvalues and its Hilbert transform, by a kernel whose width is
    n^(-1/3) of each eigenvalue.

    Parameters
    ----------
    variances : (d,) float64
        Eigenvalues of the sample's covariance. Those near zero beside the largest are let be.
    count : int
        n, more than d.

    Returns
    -------
    (d,) float64
    """
    known = variances > transform.FLOOR * variances.max(initial=0)
    λ = variances[known]
    if not len(λ):
        return variances
    concentration, width = len(λ) / count, λ * count ** (-1 / 3)
    u = (λ[:, None] - λ) / width
    bump = 1 - np.square(u) / 5
    apart_by = np.abs((KERNEL - u) / np.where(u == -KERNEL, 1, KERNEL + u))
    log = np.log(apart_by, out=np.zeros_like(u), where=(apart_by > 0) & (u != -KERNEL))
    density = (0.75 / KERNEL * np.maximum(bump, 0) / width).mean(1)
    hilbert = ((-0.3 * u + 0.75 / KERNEL * bump * log) / np.pi / width).mean(1)
    estimate = variances.copy()
    scale = np.pi * concentration * λ
    estimate[known] = λ / (np.square(scale * density) + np.square(1 - concentration - scale * hilbert))
    return estimate
