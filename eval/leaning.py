"""How far should codes lean to the queries? Recall by ``r``: ``python -m eval.leaning [--debian FILE] [--bits 4 2]``.

Sets whose queries are like the vectors, and sets whose queries are not: other axes, other weights, a few topics only.
Training queries are given, others are asked. Scores are exact inner products with decoded vectors.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import ipaq_index as iq
from eval.datasets import Dataset, load
from eval.datasets.hdf5 import load_hdf5
from eval.datasets.synthetic import synthetic
from eval.truth import brute_force, recall

K = 10
QUERIES, LEARN, VECTORS, DIM = 500, 2_000, 10_000, 64
RS = (0.0, 0.25, 0.5, 0.75, 1.0)
LIKE = ("clustered", "heavy", "norms")


def sets(debian: Path | None) -> Iterator[Dataset]:
    """Yield the sets, each with training queries."""
    glove = load("glove-50-unit", QUERIES, VECTORS + LEARN, 0)
    x = np.asarray(glove.train)
    yield Dataset("glove", "ip", x[LEARN:], glove.queries, x[:LEARN])
    if debian is not None:
        yield load_hdf5("debian", debian, QUERIES, VECTORS, 4e9)
    asked = QUERIES + LEARN
    for kind in LIKE:
        table = synthetic(kind, DIM, asked + VECTORS, 0)
        yield Dataset(kind, "ip", table[asked:], table[:QUERIES], table[QUERIES:asked])
    # Queries unlike the vectors: the same spectrum along other hidden axes; weights that rise where the vectors' fall;
    # three of two hundred topics.
    x = synthetic("spectrum", DIM, VECTORS, 0)
    q = synthetic("spectrum", DIM, asked, 1)
    yield Dataset("other axes", "ip", x, q[:QUERIES], q[QUERIES:])
    x = synthetic("heavy", DIM, VECTORS, 0)
    q = np.ascontiguousarray(synthetic("heavy", DIM, asked, 1)[:, ::-1])
    yield Dataset("heavy, reversed", "ip", x, q[:QUERIES], q[QUERIES:])
    x = synthetic("clustered", DIM, VECTORS + 200 * asked // 3, 0)
    topics = x[VECTORS:][(x[VECTORS:] @ x[:3].T).max(1).argsort()[::-1][:asked]]
    q = topics[np.random.default_rng(0).permutation(asked)]
    yield Dataset("three topics", "ip", x[:VECTORS], q[:QUERIES], q[QUERIES:])


def measure(dataset: Dataset, truth: np.ndarray, bits: float, r: float, threads: int) -> float:
    """Return recall@10."""
    x = np.asarray(dataset.train, dtype=np.float32)
    index = iq.Index(x.shape[1], bits=bits, r=r, threads=threads).build(x, queries=dataset.learn)
    return recall(brute_force(index.reconstruct(np.arange(len(x))), dataset.queries, K, "ip"), truth, K)


def main(argv: list[str] | None = None) -> int:
    """Print the table, and what each r loses beside the best r of each set, on average and at worst."""
    parser = argparse.ArgumentParser(prog="python -m eval.leaning", description=__doc__)
    parser.add_argument("--debian", type=Path, help="debian-384-ip.hdf5, measured too if given")
    parser.add_argument("--bits", type=float, nargs="+", default=[4, 2])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=100)
    grid = Table("data", "bits", *(f"r = {r:g}" for r in RS), title="recall@10 by r (its standard error: about 0.003)")
    lost = []
    for dataset in sets(arguments.debian):
        truth = brute_force(dataset.train, dataset.queries, K, "ip")
        for bits in arguments.bits:
            found = [measure(dataset, truth, bits, r, arguments.threads) for r in RS]
            lost.append(max(found) - np.array(found))
            grid.add_row(dataset.name, f"{bits:g}", *(f"{value:.3f}" for value in found))
            console.print(dataset.name, f"{bits:g}", *(f"{value:.3f}" for value in found))
    for name, losses in (("lost on average", np.mean(lost, 0)), ("lost at worst", np.max(lost, 0))):
        grid.add_row(name, "", *(f"{value:.3f}" for value in losses))
    console.print(grid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
