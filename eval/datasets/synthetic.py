"""Vectors with known structure, one generator a kind; queries are more of the same."""

from collections.abc import Callable

import numpy as np

from eval.datasets.dataset import Vectors

Generator = Callable[[np.random.Generator, int, int], np.ndarray]
CLUSTERS = 200


def synthetic(kind: str, dim: int, count: int, seed: int) -> Vectors:
    """Return ``count`` vectors of a kind.

    Parameters
    ----------
    kind : str
        A name in `KINDS`.
    dim, count : int
        Shape.
    seed : int
        Same seed, same vectors.

    Returns
    -------
    (count, dim) float32
    """
    rng = np.random.default_rng([seed, dim, *kind.encode()])
    return np.ascontiguousarray(KINDS[kind](rng, count, dim), dtype=np.float32)


def _gaussian(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """White noise: no structure at all, the worst case for any transform."""
    return rng.standard_normal((n, dim), dtype=np.float32)


def _spectrum(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Gaussian whose variances fall as 1/i along hidden axes: the covariance of text embeddings, and nothing else."""
    scale = (1 + np.arange(dim, dtype=np.float32)) ** -0.5
    return (rng.standard_normal((n, dim), dtype=np.float32) * scale) @ _rotation(rng, dim)


def _clustered(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Unit vectors around centres, both with a falling spectrum: how embeddings of documents on topics look."""
    scale = (1 + np.arange(dim, dtype=np.float32)) ** -0.4
    centres = rng.standard_normal((CLUSTERS, dim), dtype=np.float32)
    noise = rng.standard_normal((n, dim), dtype=np.float32)
    x = (0.8 * centres[rng.integers(0, CLUSTERS, n)] + noise) * scale
    return _unit(x @ _rotation(rng, dim))


def _heavy(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Student-t coordinates with 3 degrees of freedom, scales falling: uniform grids waste levels on such tails."""
    return rng.standard_t(3, (n, dim)).astype(np.float32) * (1 + np.arange(dim, dtype=np.float32)) ** -0.3


def _sparse(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """One coordinate in ten is not zero, as after a rectifier."""
    return rng.standard_exponential((n, dim), dtype=np.float32) * (rng.random((n, dim), dtype=np.float32) < 0.1)


def _norms(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """The spectrum above with log-normal lengths (σ = 0.7): inner products in which length decides much."""
    return _unit(_spectrum(rng, n, dim)) * rng.lognormal(0, 0.7, (n, 1)).astype(np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _rotation(rng: np.random.Generator, dim: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)


KINDS: dict[str, Generator] = {
    "gaussian": _gaussian,
    "spectrum": _spectrum,
    "clustered": _clustered,
    "clustered_l2": _clustered,
    "heavy": _heavy,
    "sparse": _sparse,
    "norms": _norms,
}
