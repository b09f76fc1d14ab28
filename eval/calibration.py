"""Do error bars keep their word? The share of true scores within z standard deviations of the estimate."""

from typing import Any

import numpy as np

from eval.datasets import Dataset
from eval.systems.ipaq import Ipaq
from eval.truth import unit

NOMINAL = (0.5, 0.6827, 0.8, 0.9, 0.95, 0.99)
Z = (0.6745, 1.0, 1.2816, 1.6449, 1.96, 2.5758)  # a normal deviate lies within ±z with the probabilities above
QUERIES = 50
ROWS = 400
K = 10


def observe(system: Ipaq, dataset: Dataset) -> dict[str, Any]:
    """Compare estimates with true scores, on rows chosen blindly and on the best found.

    Choosing the best of many estimates favours those that erred upwards, so bars that are right for a row chosen
    blindly are missed more often among the best: both are told.

    Returns
    -------
    dict
        ``nominal``, and for ``random`` and ``top``: ``within`` (observed shares), ``mean`` and ``std`` of
        (estimate - truth) / bar, and ``pairs``.
    """
    queries = dataset.queries[:QUERIES]
    rows = np.sort(np.random.default_rng(0).choice(len(dataset.train), min(ROWS, len(dataset.train)), replace=False))
    return {
        "nominal": list(NOMINAL),
        "random": _compare(dataset, queries, system.scored(queries, len(rows), among=rows)),
        "top": _compare(dataset, queries, system.scored(queries, K)),
    }


def _compare(dataset: Dataset, queries: np.ndarray, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, Any]:
    scores, ids, std = found
    kept = ids >= 0
    query = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)[kept]
    rows, place = np.unique(ids[kept], return_inverse=True)
    vectors = np.asarray(dataset.train[rows], dtype=np.float64)[place]
    asked = queries[query].astype(np.float64)
    if dataset.metric == "cosine":
        vectors, asked = unit(vectors), unit(asked)
    true = ((vectors - asked) ** 2).sum(1) if dataset.metric == "l2" else (vectors * asked).sum(1)
    z = (scores[kept] - true) / np.maximum(std[kept], np.finfo(np.float32).tiny)
    return {
        "within": [float(np.mean(np.abs(z) <= limit)) for limit in Z],
        "mean": float(z.mean()),
        "std": float(z.std()),
        "pairs": len(z),
    }
