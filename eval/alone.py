"""What one query at a time misses of what a batch finds: ``python -m eval.alone``.

Look-ups for few queries estimate what they do not read, so a neighbour may be overlooked; a batch decodes all rows.
"""

import argparse
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

import ipaq_index as iq
from eval.datasets.synthetic import KINDS, synthetic

SHAPES = ((16, 8), (64, 1), (64, 2), (96, 4), (200, 3), (384, 3))  # dimensions and bits
K = 10


def missed(x: np.ndarray, queries: np.ndarray, bits: float, states: int) -> float:
    """Return the share of a batch's ``K`` best that searches one by one do not find."""
    index = iq.Index(x.shape[1], bits=bits, states=states).build(x)
    together = index.search(queries, K)[1]
    alone = np.concatenate([index.search(query[None], K, threads=1)[1] for query in queries])
    found = sum(len(np.intersect1d(one, other)) for one, other in zip(alone, together, strict=True))
    return 1 - found / together.size


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m eval.alone", description=__doc__)
    parser.add_argument("--vectors", type=int, default=30_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--states", type=int, default=16, help="of the trellis (default: 16, which is fast to add)")
    arguments = parser.parse_args(argv)
    grid = Table("data", *(f"{dim}-d, {bits} bits" for dim, bits in SHAPES), title="missed by one query at a time, %")
    shares = []
    for kind in KINDS:
        row = []
        for dim, bits in SHAPES:
            x = synthetic(kind, dim, arguments.vectors + arguments.queries, 1)
            row.append(missed(x[: arguments.vectors], x[arguments.vectors :], bits, arguments.states))
        grid.add_row(kind, *(f"{100 * share:.2f}" for share in row))
        shares += row
    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(grid)
    console.print(f"mean {100 * np.mean(shares):.3f} %, worst {100 * max(shares):.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
