"""Compile what a user meets, so that the first index does not wait for it: ``python -m ipaq_index.warmup``.

Numba keeps compiled kernels beside the source, or where that cannot be written (an installation by another user) in
the user's cache folder; NUMBA_CACHE_DIR overrides both.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ipaq_index.index import Index
from ipaq_index.scan import kernel
from ipaq_index.scan.isa import choose
from ipaq_index.storage import load, save

DIM = 16
VECTORS = 400
FEW, MANY = 1, 1024  # queries: few are answered by other kernels than many, and so many by two threads
KINDS: dict[str, dict[str, Any]] = {
    "trellis, ip, flat": {},
    "trellis, ip, lists": {"nlist": 4},
    "trellis, l2, flat": {"metric": "l2"},
    "trellis, l2, lists": {"metric": "l2", "nlist": 4},
    "scalar, ip, flat": {"encoding": "scalar"},
    "scalar, l2, flat": {"encoding": "scalar", "metric": "l2"},
    "refined, cosine, lists": {"metric": "cosine", "nlist": 4, "refine": "sq8"},
}


def warm(tell: Callable[[str, float], None] = lambda name, seconds: None) -> dict[str, Any]:
    """Build, search, save and load small indexes of 4 bits a dimension, which compiles their kernels.

    Parameters
    ----------
    tell : callable, optional
        Called after each index with its kind and the seconds it took.

    Returns
    -------
    dict
        ``seconds``; ``isa``, the instruction set compiled for; ``cache``, the folder that holds the kernels of the
        scan (those of other rooms are beside it).
    """
    begin = time.perf_counter()
    x = np.random.default_rng(0).standard_normal((VECTORS, DIM), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for name, parameters in KINDS.items():
            started = time.perf_counter()
            _use(Index(DIM, bits=4, **parameters).build(x), x, Path(folder) / "index.ipaq")
            tell(name, time.perf_counter() - started)
    cache = kernel.by_products.stats.cache_path
    return {
        "seconds": round(time.perf_counter() - begin, 3),
        "isa": type(choose()).__name__.lower(),
        "cache": str(cache),
    }


def _use(index: Index, x: np.ndarray, path: Path) -> None:
    """Do what users do with an index, also with one whose arrays are a file's and cannot be written."""
    save(index, path)
    for one in (index, load(path, mmap=True)):
        for q in (x[:FEW], np.resize(x, (MANY, DIM))):
            one.search(q, return_std=True, threads=2)
            one.search(q, filter=np.arange(0, VECTORS, 2))
        one.range_search(x[:FEW], 0.0)
    index.remove([0])
    index.add(x[:1])
    path.unlink()


def main() -> None:
    """Warm up and say what was done."""
    told = warm(lambda name, seconds: print(f"{name}: {seconds:.1f} s", flush=True))
    print(f"compiled for {told['isa']} in {told['seconds']:.1f} s; kept in {told['cache']}")


if __name__ == "__main__":
    main()
