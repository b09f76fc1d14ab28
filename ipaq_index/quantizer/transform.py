"""The linear map between vectors and coded coordinates."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LEAST_SHRINKAGE = 0.05  # share of the identity in the query second moment, however many queries: those to come may look
# where none has looked yet. From 0.01 to 0.2 recall on GloVe and Debian does not change by more than its noise.
FLOOR = 1e-6  # least eigenvalue of the shrunk second moment that is inverted, relative to the largest
# Rows that second moments are taken from: at least, and for each dimension. 64 for each of 384 instead of 170 moves
# recall by less than 0.001 and spares 0.5 s.
LEAST_ROWS, ROWS_PER_DIM = 20_000, 64
PART_ROWS = 2_048  # rows added up at a time: as float64 they stay in the cache
ATOM, ATOM_ROWS = 0.1, 1_024  # the share of so many rows from which on a value is a coordinate's origin

Matrix = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Transform:
    """``y = (x - mean) @ forward`` and ``p = q @ dual``, so that ``<q, x> = <q, mean> + <p, y>``.

    Attributes
    ----------
    mean : (d,) float32
        Mean of the data or, along the vectors' own axes, each coordinate's most frequent value; see `_origin`.
    forward, dual : (d, d) float32
        F and F^-T.
    """

    mean: npt.NDArray[np.float32]
    forward: Matrix
    dual: Matrix


class Moments(NamedTuple):
    """Moments of a sample.

    Attributes
    ----------
    size : int
        Vectors of the sample.
    mean : (d,) float64
    covariance : (d, d) float64
        Mean outer product of what is left without the mean.
    fourth : float
        Mean of the fourth powers of the vectors' lengths.
    """

    size: int
    mean: Doubles
    covariance: Doubles
    fourth: float


def fit(x: Matrix, queries: Matrix, r: float, kind: str = "auto", seed: int = 0) -> Transform:
    """Choose F.

    "auto" is F = A·U with A = S^(r/2), S the shrunk second moment of the queries, U the eigenvectors of A C A, C the
    covariance of ``x``. With r = 1 this is transform coding that is optimal for the average directional variance of the
    error (ADV); r = 0 is "pca". "random" is a rotation that is uniformly distributed (Haar), "none" the identity.

    Parameters
    ----------
    x, queries : (m, d), (nq, d) float32
        Samples.
    r : float
        As above.
    kind : {"auto", "pca", "random", "none"}
    seed : int
        Of the random rotation.

    Returns
    -------
    Transform
        "auto", "pca": coordinates in the order of falling variance; each eigenvector's largest entry is positive, so
        that the signs do not depend on the linear algebra library.
    """
    d = x.shape[1]
    if kind in ("auto", "pca"):
        return sample_axes(x, queries, r if kind == "auto" else 0)[0]
    mean = moments(x).mean
    if kind == "none":
        return own_axes(x, mean, np.ones(d))
    rotation = _rotation(d, seed)
    return _transform(mean, rotation, rotation)


def sample_axes(x: Matrix, queries: Matrix, r: float) -> tuple[Transform, Doubles]:
    """Return F = A·U of `fit`, and the root of the diagonal of S^r: what `own_axes` would be weighted with."""
    data = moments(x)
    moment = np.eye(x.shape[1]) if r == 0 else _shrunk(data if queries is x else moments(queries))
    a, inverse = _root_and_inverse(moment, r / 2)
    vectors = np.linalg.eigh(a @ data.covariance @ a)[1][:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None, :], 0)
    vectors = vectors * np.where(largest < 0, -1, 1)
    return _transform(data.mean, a @ vectors, inverse @ vectors), np.sqrt(np.square(a).sum(0))


def own_axes(x: Matrix, mean: np.ndarray, weights: Doubles) -> Transform:
    """Return F = diag(weights), coordinates counted from their `_origin`."""
    return _transform(_origin(x, mean), np.diag(weights), np.diag(1 / weights))


def _transform(mean: np.ndarray, forward: Doubles, dual: Doubles) -> Transform:
    return Transform(*(np.ascontiguousarray(m, dtype=np.float32) for m in (mean, forward, dual)))


def moments(x: Matrix) -> Moments:
    """Return the moments of the rows, or of every so many of them."""
    x = x[:: _step(x)]
    mean = x.mean(0, dtype=np.float64)
    covariance, fourth = np.zeros((x.shape[1], x.shape[1])), 0.0
    for first in range(0, len(x), PART_ROWS):
        part = x[first : first + PART_ROWS].astype(np.float64)
        lengths = np.einsum("ij,ij->i", part, part)
        fourth += float(lengths @ lengths)
        part -= mean  # before squaring: a common offset does not use up the digits
        covariance += part.T @ part
    return Moments(len(x), mean, covariance / len(x), fourth / len(x))


def moment_rows(x: Matrix) -> int:
    """Return how many rows `moments` takes."""
    return -(-len(x) // _step(x))


def _step(x: Matrix) -> int:
    return -(-len(x) // max(LEAST_ROWS, ROWS_PER_DIM * x.shape[1]))


def _origin(x: Matrix, mean: np.ndarray) -> np.ndarray:
    """Return, for each coordinate, its most frequent value if many vectors have it, else its mean.

    What stands at the origin stays there however long a vector is made to be coded: zeros of sparse vectors then have
    one level. Counted from the mean, 96-d sparse vectors keep 1.7 and 2.7 times the error, at 2 and 4 bits.
    """
    ordered = np.sort(x[:: -(-len(x) // ATOM_ROWS)], axis=0)
    rows = np.arange(len(ordered))[:, None]
    begins = np.concatenate([np.zeros((1, ordered.shape[1]), dtype=bool), ordered[1:] != ordered[:-1]])
    run = rows - np.maximum.accumulate(np.where(begins, rows, 0), axis=0) + 1
    longest = run.argmax(0)[None]
    many = np.take_along_axis(run, longest, 0)[0] > max(1, ATOM * len(ordered))
    return np.where(many, np.take_along_axis(ordered, longest, 0)[0].astype(np.float64), mean)


def shrinkage(fourth: float, moment: Doubles, count: int) -> float:
    """Return how far a second moment should be drawn towards a multiple of the identity.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis
    88, 2004, section 3.2: of all (1 - δ) M + δ μ I, μ the mean eigenvalue of M, the δ that comes closest to the true
    moment. (scikit-learn has it for covariances only, and a dependency is dear for four lines.)

    Parameters
    ----------
    fourth : float
        Mean of the fourth powers of the vectors' lengths.
    moment : (d, d) float64
        M, the mean of their outer products.
    count : int
        How many vectors ``moment`` was taken from.

    Returns
    -------
    float
        δ, 0 to 1.
    """
    squared = float(np.square(moment).sum())
    away = squared - float(np.trace(moment)) ** 2 / len(moment)  # |M - μ I|²
    noise = (fourth - squared) / count  # mean |x x^T - M|² / n
    return min(1.0, max(0.0, noise / away)) if away > 0 else 1.0


def _shrunk(queries: Moments) -> Doubles:
    """Return the mean of q q^T with mean eigenvalue 1, shrunk towards the identity."""
    moment = queries.covariance + np.outer(queries.mean, queries.mean)
    d, trace = len(moment), float(np.trace(moment))
    if trace <= 0:
        return np.eye(d)
    share = max(LEAST_SHRINKAGE, shrinkage(queries.fourth, moment, queries.size))
    return (1 - share) * moment * (d / trace) + share * np.eye(d)


def _rotation(d: int, seed: int) -> Doubles:
    """Return a rotation of uniform distribution: QR of a normal matrix, signs fixed (Mezzadri, 2007)."""
    q, r = np.linalg.qr(np.random.default_rng([seed, d]).standard_normal((d, d)))
    return q * np.where(np.diag(r) < 0, -1, 1)


def _root_and_inverse(moment: npt.NDArray[np.float64], power: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric power of ``moment`` and its inverse."""
    values, vectors = np.linalg.eigh(moment)
    values = np.maximum(values, values[-1] * FLOOR)
    return (vectors * values**power) @ vectors.T, (vectors * values**-power) @ vectors.T
