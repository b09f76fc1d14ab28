"""How well codes of 4 bits a coordinate find neighbours: level sets a vector and a dimension, against PQ."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.datasets import Dataset, Metric, load
from eval.paper.sets import SETS, covering, uniform
from eval.systems import System, make
from eval.truth import brute_force
from eval.truth import recall as share
from ipaq_index import levels

BITS = 4
LEVELS = 2**BITS
K = 100
METRICS: tuple[Metric, ...] = ("ip", "l2")
SYSTEMS = ("faiss:PQ{d}x4np", "faiss:PQ{d/2}x8np", "ipaq:bits=4")  # all of BITS a coordinate; np: no polysemous order
OBJECTIVES = {"k-means": "mse", "ASQ": "asq", "ADV": "adv", "MDV": "mdv"}
Record = dict[str, Any]
Sets = list[npt.NDArray[np.float64]]


def run(name: str, vectors: int, queries: int, data: Path) -> Iterator[Record]:
    """Yield one record a way of coding and metric for a data set.

    Parameters
    ----------
    name : str
        See `eval.datasets.load`.
    vectors, queries : int
        How many.
    data : Path
        Folder for data sets.
    """
    dataset = load(name, queries, vectors, 0, data)
    train = np.asarray(dataset.train[:], dtype=np.float32)
    typical = train if dataset.learn is None else dataset.learn
    truth = {metric: brute_force(train, dataset.queries, K, metric) for metric in METRICS}
    about = {"dataset": name, "shape": list(train.shape), "queries": len(dataset.queries)}

    def measured(coded: np.ndarray) -> dict[str, float]:
        return {m: share(brute_force(coded, dataset.queries, K, m), truth[m], K) for m in METRICS}

    for by in ("vector", "dimension"):
        lines = train.astype(np.float64) if by == "vector" else train.T.astype(np.float64)
        for kind in SETS:
            if by == "dimension" and kind == "ADV":
                continue  # all values of a dimension have one weight: ADV is ASQ
            found = solve(kind, lines, np.mean(typical.astype(np.float64) ** 2, axis=0))
            for rounding in ("nearest", "stochastic"):
                coded = round_lines(lines, found, rounding)
                for metric, value in measured(coded if by == "vector" else coded.T).items():
                    yield about | {
                        "set": kind,
                        "by": by,
                        "rounding": rounding,
                        "metric": metric,
                        "recall@100": value,
                        "bytes": train.shape[1] * BITS / 8 + (4 * LEVELS if by == "vector" else 0),
                    }
    for text in SYSTEMS:
        for metric in METRICS:
            system = make(text, 0, train.shape)
            value = ask(system, Dataset(name, metric, train, dataset.queries, dataset.learn), truth[metric])
            yield about | {
                "set": system.name,
                "by": "system",
                "rounding": "nearest",
                "metric": metric,
                "recall@100": value,
                "bytes": system.bytes_per_vector(),
            }


def ask(system: System, dataset: Dataset, truth: np.ndarray) -> float:
    """Build a system, ask it all queries and return its recall."""
    system.build(dataset, threads=1)
    return share(system.search(dataset.queries, K, threads=1), truth, K)


def solve(kind: str, lines: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> Sets:
    """Return a level set for each line; ``weights`` are those of its values, for ADV."""
    if kind == "uniform":
        return [uniform(line, LEVELS) for line in lines]
    table = levels.solve_many(
        lines, LEVELS, OBJECTIVES[kind], weights=weights if kind == "ADV" else None, method="auto", axis=1
    )
    return [sets[0].levels for sets in table.sets]


def round_lines(lines: npt.NDArray[np.float64], sets: Sets, rounding: str) -> npt.NDArray[np.float32]:
    """Return lines rounded to their levels; for stochastic rounding these are made to cover the values."""
    rng = np.random.default_rng(0)
    coded = np.empty(lines.shape, dtype=np.float32)
    for number, (line, found) in enumerate(zip(lines, sets, strict=True)):
        if rounding == "nearest":
            coded[number] = levels.round_nearest(line, found)
        else:
            coded[number] = levels.round_stochastic(line, covering(found, line), rng)
    return coded
