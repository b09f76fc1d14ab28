"""`ipaq_index.Index`."""

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.datasets import Dataset
from ipaq_index.integrations.vector_files import blocks, sample

TRAIN_ROWS = 200_000  # of a set that stays on disk; `Index.train` samples for itself what it is given


class Ipaq:
    """The index of this project.

    Parameters
    ----------
    arguments : dict
        Arguments of `ipaq_index.Index`, such as ``bits=4``.
    seed : int
        Passed on.
    """

    family = "ipaq"

    def __init__(self, arguments: dict[str, Any], seed: int) -> None:
        self.name = f"ipaq {','.join(f'{key}={value}' for key, value in arguments.items())}".strip()
        self._arguments, self._seed = arguments, seed
        self._search: dict[str, Any] = {}

    def build(self, dataset: Dataset, threads: int) -> None:
        import ipaq_index as iq

        arguments = {"seed": self._seed, "threads": threads} | self._arguments
        self._index = iq.Index(dataset.train.shape[1], metric=dataset.metric, **arguments)
        if isinstance(dataset.train, np.ndarray):
            self._index.build(dataset.train, queries=dataset.learn)
            return
        self._index.train(sample(dataset.train, TRAIN_ROWS, self._seed), queries=dataset.learn)
        for _, block in blocks(dataset.train):
            self._index.add(block)

    def set_search(self, **parameters: Any) -> None:
        known = set(inspect.signature(self._index.search).parameters) - {"q", "k", "threads"}
        if not parameters.keys() <= known:
            raise ValueError(f"search: {self.name} knows {', '.join(sorted(known))}, got {', '.join(parameters)}")
        self._search = parameters

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        return self._index.search(queries, k, threads=threads, **self._search)[1]

    def bytes_per_vector(self) -> float:
        return self._index.bytes_per_vector

    @property
    def lists(self) -> int:
        """Inverted lists asked for by number: an index wants at least as many vectors."""
        nlist = self._arguments.get("nlist")
        return nlist if isinstance(nlist, int) else 0

    @property
    def tells_errors(self) -> bool:
        """Whether scores come with a standard deviation."""
        return "return_std" in inspect.signature(self._index.search).parameters

    def scored(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, npt.NDArray[np.int64], np.ndarray]:
        """Return scores, ids and standard deviations of the best ``k``, or of all rows ``among``."""
        search: Any = self._index.search
        scores, ids, std = search(queries, k, filter=among, return_std=True)
        return scores, ids, std
