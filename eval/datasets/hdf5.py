"""The HDF5 layouts of ann-benchmarks (`train`, `test`, attribute `distance`) and VIBE (also `learn`)."""

from pathlib import Path

import numpy as np

from eval.datasets.dataset import Dataset, Head, Metric, in_memory
from ipaq_index.integrations.vector_files import Hdf5Table

METRICS: dict[str, Metric] = {
    "angular": "cosine",
    "cosine": "cosine",
    "euclidean": "l2",
    "ip": "ip",
    "dot": "ip",
    "normalized": "ip",  # VIBE: unit vectors, for which all three agree
}


def load_hdf5(
    name: str, file: Path, queries: int, vectors: int | None, limit_bytes: float, augmented: bool = False
) -> Dataset:
    """Read a file; see `eval.datasets.load` for the parameters.

    Raises
    ------
    ValueError
        If the file names no distance that can be ranked by, or is not augmented though it should be.
    """
    import h5py

    with h5py.File(file) as content:
        distance = content.attrs.get("distance", "")
        distance = distance.decode() if isinstance(distance, bytes) else str(distance)
        has_learn = "learn" in content
    if distance not in METRICS:
        raise ValueError(f"dataset: {name}: expected a distance of {', '.join(METRICS)}, got {distance!r}")
    table = Head(Hdf5Table(file, "train"), vectors or 1 << 62)
    train = in_memory(table, limit_bytes)
    test = np.asarray(Hdf5Table(file, "test")[:queries], dtype=np.float32)
    learn = np.asarray(Hdf5Table(file, "learn")[:], dtype=np.float32) if has_learn else None
    metric = METRICS[distance]
    if augmented:
        train, test = stripped(name, np.asarray(train[:], dtype=np.float32), test)
        metric = "ip"
    return Dataset(name, metric, train, test, learn)


def stripped(name: str, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take off the last dimension of a norm-augmented set, after checking that it is one.

    Vectors got a coordinate sqrt(max² - |x|²), which makes all norms equal, and queries a zero (Bachrach et al., 2014):
    the cosine then ranks as the inner product of the other coordinates, which is what the set is about.
    """
    norms = np.linalg.norm(train, axis=1)
    if np.any(test[:, -1]) or np.ptp(norms) > 1e-3 * norms.max():
        raise ValueError(f"dataset: {name}: expected vectors of equal norm and queries that end in 0, got others")
    return np.ascontiguousarray(train[:, :-1]), np.ascontiguousarray(test[:, :-1])
