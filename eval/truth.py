"""Exact nearest neighbours, kept on disk under a hash of the data they belong to."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from eval.datasets import Dataset
from ipaq_index.integrations.vector_files import VectorTable, blocks

ROWS = 65_536  # vectors scored at a time: 260 MB of float32 scores for 1,000 queries


def exact(dataset: Dataset, k: int, cache: Path) -> npt.NDArray[np.int64]:
    """Return the ``k`` nearest vectors of each query by brute force.

    Parameters
    ----------
    dataset : Dataset
        Vectors, queries and metric.
    k : int
        Neighbours.
    cache : Path
        Folder for results; made if missing.

    Returns
    -------
    (nq, k) int64
        Row numbers, best first, equal scores in the order of rows.
    """
    key = xxhash.xxh3_128(dataset.metric.encode() + str(k).encode())
    for table in (dataset.train, dataset.queries):
        key.update(str(tuple(table.shape)).encode())
        for _, block in blocks(table):
            key.update(block.data)
    file = cache / f"truth-{key.hexdigest()}.npy"
    if file.exists():
        return np.load(file)
    truth = brute_force(dataset.train, dataset.queries, k, dataset.metric)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, truth)
    return truth


def brute_force(train: np.ndarray | VectorTable, queries: np.ndarray, k: int, metric: str) -> npt.NDArray[np.int64]:
    """Return the ``k`` best rows of ``train`` for each query; arguments and result as in `exact`."""
    if metric == "cosine":
        queries = unit(queries)
    k = min(k, len(train))
    best = np.empty((len(queries), 0), dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for first, block in blocks(train, ROWS):
        part = unit(block) if metric == "cosine" else block
        scores = queries @ part.T
        if metric == "l2":
            scores -= 0.5 * np.einsum("ij,ij->i", part, part)
        new = _top(scores, k)
        best = np.concatenate([best, np.take_along_axis(scores, new, 1)], axis=1)
        rows = np.concatenate([rows, new + first], axis=1)
        kept = _top(best, k)
        best, rows = np.take_along_axis(best, kept, 1), np.take_along_axis(rows, kept, 1)
    return rows


def _top(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the ``k`` largest scores of each row, descending, ties by column."""
    if k < scores.shape[1]:
        columns = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    else:
        columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def unit(table: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1; zero rows stay zero."""
    length = np.linalg.norm(table, axis=1, keepdims=True)
    return np.divide(table, length, out=np.zeros_like(table), where=length > 0)


def recall(found: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Return the mean share of the true ``k`` nearest that are among the first ``k`` found (recall@k)."""
    hits = [len(np.intersect1d(f[:k], t[:k])) for f, t in zip(found, truth, strict=True)]
    return float(np.mean(hits) / min(k, truth.shape[1]))
