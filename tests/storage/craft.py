"""Files made by hand: any state and arrays, all checksums right."""

from pathlib import Path
from typing import Any

import numpy as np

from ipaq_index.storage.contents import Contents
from ipaq_index.storage.segment import ALIGN, digest
from ipaq_index.storage.writer import Layout, tables


def read(data: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return state and arrays of a file's bytes, every one checked."""
    contents = Contents(np.frombuffer(data, dtype=np.uint8))
    contents.verify()
    return contents.state, contents.arrays()


def made(state: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of a file."""
    return Layout(state, tables(arrays)).to_bytes()


def rewrite(path: Path, change: Any) -> None:
    """Write a file anew with its state or arrays changed by ``change(state, arrays)``."""
    state, arrays = read(path.read_bytes())
    change(state, arrays)
    path.write_bytes(made(state, arrays))


def sealed(head: bytes) -> bytes:
    """Return a preamble with the digest that belongs to its first 56 bytes."""
    return head[: ALIGN - 8] + digest(head[: ALIGN - 8]).to_bytes(8, "little")
