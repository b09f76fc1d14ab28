"""An index of arrays made up by the test: what storage writes must not depend on what the arrays mean."""

import json
from typing import Any

import numpy as np

import ipaq_index as iq
from ipaq_index.storage.contents import Contents


class Made(iq.Index):
    """An index whose parameters and arrays the test sets."""

    def __init__(self, **arrays: np.ndarray) -> None:
        super().__init__(4)
        self.state: dict[str, Any] = {"config": {"dim": 4}}
        self.arrays = arrays

    def __getstate__(self) -> dict[str, Any]:
        return {**self.state, "arrays": dict(self.arrays)}

    def snapshot(self) -> tuple[Any, ...]:
        """Return all it holds, comparable."""
        return frozen(self.state, self.arrays)


def frozen(state: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """Return state and arrays as one comparable value."""
    return json.dumps(state, sort_keys=True), {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


def snapshot_of(data: Any) -> tuple[Any, ...]:
    """Return what a file's bytes hold, every one checked."""
    contents = Contents(np.frombuffer(data, dtype=np.uint8))
    contents.verify()
    return frozen(contents.state, contents.arrays())
