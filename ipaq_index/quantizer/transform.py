"""The linear map between vectors and coded coordinates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHRINKAGE = 0.05  # share of the identity in the query second moment; keeps A invertible
FLOOR = 1e-6  # least eigenvalue of the shrunk second moment that is inverted, relative to the largest

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Transform:
    """``y = (x - mean) @ forward`` and ``p = q @ dual``, so that ``<q, x> = <q, mean> + <p, y>``.

    Attributes
    ----------
    mean : (d,) float32
        Mean of the data.
    forward, dual : (d, d) float32
        F and F^-T.
    """

    mean: npt.NDArray[np.float32]
    forward: Matrix
    dual: Matrix


def fit(x: Matrix, queries: Matrix, r: float) -> Transform:
    """Fit F = A·U with A = S^(r/2), S the shrunk second moment of the queries, U the eigenvectors of A C A.

    C is the covariance of ``x``. With r = 1 this is transform coding that is optimal for the average directional
    variance of the error (ADV); r = 0 is PCA.

    Parameters
    ----------
    x, queries : (m, d), (nq, d) float32
        Samples.
    r : float
        As above.

    Returns
    -------
    Transform
        Coordinates in the order of falling variance; each eigenvector's largest entry is positive, so that the signs
        do not depend on the linear algebra library.
    """
    data = x.astype(np.float64)
    mean = data.mean(0)
    data -= mean
    covariance = data.T @ data / len(data)
    a, inverse = _root_and_inverse(_second_moment(queries.astype(np.float64)), r / 2)
    vectors = np.linalg.eigh(a @ covariance @ a)[1][:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None, :], 0)
    vectors = vectors * np.where(largest < 0, -1, 1)
    return Transform(*(np.ascontiguousarray(m, dtype=np.float32) for m in (mean, a @ vectors, inverse @ vectors)))


def _second_moment(queries: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Q^T Q with mean eigenvalue 1, shrunk towards the identity."""
    d = queries.shape[1]
    moment = queries.T @ queries
    trace = np.trace(moment)
    if trace <= 0:
        return np.eye(d)
    return (1 - SHRINKAGE) * moment * (d / trace) + SHRINKAGE * np.eye(d)


def _root_and_inverse(moment: npt.NDArray[np.float64], power: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric power of ``moment`` and its inverse."""
    values, vectors = np.linalg.eigh(moment)
    values = np.maximum(values, values[-1] * FLOOR)
    return (vectors * values**power) @ vectors.T, (vectors * values**-power) @ vectors.T
