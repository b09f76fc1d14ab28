"""The registry as a list for people, and fetching ahead of a run."""

from pathlib import Path
from typing import Any

from eval.datasets.loading import load
from eval.datasets.registry import ENTRIES


def listing(name: str | None, folder: Path) -> dict[str, Any]:
    """Return one line for each data set, or fetch one and tell its shape.

    Raises
    ------
    ValueError, OSError
        If the name is unknown, or a file is neither there nor to be had.
    """
    if name is not None:
        dataset = load(name, queries=1, vectors=None, seed=0, folder=folder, limit_bytes=0)
        return {"name": name, "metric": dataset.metric, "shape": list(dataset.train.shape)}
    return {
        key: f"{e.size:,} x {e.dim}, {e.metric}, {e.kind}, from {e.source}, licence: {e.licence}"
        for key, e in ENTRIES.items()
    }
