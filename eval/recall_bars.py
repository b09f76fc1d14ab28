"""Recall@10 of the codes alone, beside the goals: ``python -m eval.recall_bars [--debian FILE] [--encoding scalar]``.

Scores are exact inner products with decoded vectors, so a search can do no better. Bytes are all bytes of a vector.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import ipaq_index as iq
from eval.datasets.glove import glove_unit
from eval.datasets.hdf5 import load_hdf5
from eval.truth import brute_force, recall

K = 10
GLOVE = 100_000  # the first so many words; a thousand of them are queries
QUERIES, LEARN = 1_000, 5_000
GOALS = {"glove": {27: 0.93, 21: 0.86, 14: 0.72}, "debian": {194: 0.975, 98: 0.925, 50: 0.81}}

Split = tuple[np.ndarray, np.ndarray, np.ndarray]


def glove() -> Split:
    """Return vectors, queries and training queries (which are among the vectors)."""
    x = glove_unit()[:GLOVE]
    order = np.random.default_rng(0).permutation(len(x))
    return x[order[QUERIES:]], x[order[:QUERIES]], x[order[QUERIES : QUERIES + LEARN]]


def debian(file: Path) -> Split:
    """Return what a file with training queries holds."""
    dataset = load_hdf5(str(file), file, QUERIES, None, 4e9)
    if dataset.learn is None:
        raise ValueError(f"{file}: expected training queries ('learn')")
    return np.asarray(dataset.train), dataset.queries, dataset.learn


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m eval.recall_bars", description=__doc__)
    parser.add_argument("--debian", type=Path, help="debian-384-ip.hdf5, measured too if given")
    parser.add_argument("--encoding", default="auto")
    parser.add_argument("--states", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    grid = Table("data", "bytes", "recall@10", "goal", title=f"Exact scores of codes, {arguments.encoding}")
    splits = {"glove": glove()} | ({"debian": debian(arguments.debian)} if arguments.debian else {})
    missed = False
    for name, (x, queries, learn) in splits.items():
        truth = brute_force(x, queries, K, "ip")
        for size, goal in GOALS[name].items():
            options = {"encoding": arguments.encoding, "states": arguments.states, "threads": arguments.threads}
            index = iq.Index(x.shape[1], bytes_per_vector=size, **options).build(x, queries=learn)
            found = brute_force(index.reconstruct(np.arange(len(x))), queries, K, "ip")
            reached = recall(found, truth, K)
            missed |= reached < goal
            grid.add_row(name, str(size), f"{reached:.4f}", f"{goal:g}", style="red" if reached < goal else None)
    (Console() if sys.stdout.isatty() else Console(width=100)).print(grid)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
