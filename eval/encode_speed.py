"""Time to train and encode, beside FAISS's 4-bit product quantizer: ``/work/bin/measure python -m eval.encode_speed``.

One thread, one process, the systems in turns; medians over rounds, and each one's share of FAISS's time.
"""

import argparse
import sys
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import ipaq_index as iq
from eval.datasets.synthetic import synthetic

SYSTEMS: dict[str, dict[str, Any]] = {
    "scalar": {"encoding": "scalar"},
    "trellis, 8 states": {"states": 8},
    "trellis, 64 states": {"states": 64},
    "trellis, 256 states": {"states": 256},
}


def once(name: str, x: np.ndarray) -> tuple[float, float]:
    """Return seconds of training and of adding."""
    dim = x.shape[1]
    index: Any
    if name == "FAISS":
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.index_factory(dim, f"PQ{dim}x4fs", faiss.METRIC_INNER_PRODUCT)
    else:
        index = iq.Index(dim, bits=4, threads=1, **SYSTEMS[name])
    begin = perf_counter()
    index.train(x)
    middle = perf_counter()
    index.add(x)
    return middle - begin, perf_counter() - middle


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m eval.encode_speed", description=__doc__)
    parser.add_argument("--vectors", type=int, default=117_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    x = synthetic("clustered", arguments.dim, arguments.vectors, 0)
    names = ["FAISS", *SYSTEMS]
    for name in names:
        once(name, x[:1_000])  # compiles
    seconds = {name: np.array([(0.0, 0.0)] * arguments.rounds) for name in names}
    for turn in range(arguments.rounds):
        for name in names:
            seconds[name][turn] = once(name, x)
    grid = Table("system", "train s", "add s", "both", "share of FAISS", title=f"{len(x):,} x {arguments.dim}, 4 bits")
    base = float(np.median(seconds["FAISS"].sum(1)))
    for name in names:
        train, add = np.median(seconds[name], axis=0)
        both = float(np.median(seconds[name].sum(1)))
        grid.add_row(name, f"{train:.2f}", f"{add:.2f}", f"{both:.2f}", f"{both / base:.2f}")
    (Console() if sys.stdout.isatty() else Console(width=100)).print(grid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
