"""Exact search in plain NumPy, float64: the oracle of search tests. Never imports the package."""

import numpy as np


def top_k(x: np.ndarray, q: np.ndarray, k: int, metric: str = "ip") -> np.ndarray:
    """Return the rows of the ``k`` best vectors for each query, best first, ties by row."""
    return np.argsort(-scores(x, q, metric), axis=1, kind="stable")[:, :k]


def scores(x: np.ndarray, q: np.ndarray, metric: str = "ip") -> np.ndarray:
    """Return scores that are larger for nearer vectors: inner products, cosines or minus squared distances."""
    x, q = np.asarray(x, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if metric == "cosine":
        x, q = unit(x), unit(q)
    if metric == "l2":
        return -((q[:, None, :] - x[None, :, :]) ** 2).sum(-1)
    return q @ x.T


def unit(x: np.ndarray) -> np.ndarray:
    """Return rows of length 1; zero rows stay zero."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean share of ``truth`` (nq, k) that is in ``found`` (nq, k)."""
    return float(np.mean([len(set(f) & set(t)) / len(t) for f, t in zip(found, truth, strict=True)]))


def clustered(n: int, d: int, seed: int, clusters: int = 20) -> np.ndarray:
    """Return (n, d) float32 vectors around random centres, the variance falling from dimension to dimension."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, d))
    spread = 1 / np.sqrt(1 + np.arange(d))
    x = centres[rng.integers(0, clusters, n)] + 0.7 * rng.standard_normal((n, d))
    return (x * spread).astype(np.float32)
