"""Which axes to code along: recall of those of the covariance, the vectors' own, random ones, and what "auto" takes.

    python -m eval.axes [--bits 8 4 2]

Kinds of data whose coordinates say what a covariance does not: many zeros, few values, heavy tails; and three for which
it says all. 5,000 vectors and as many to train on, 500 queries; scores are exact inner products with decoded vectors.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

import ipaq_index as iq
from eval.bytes import hits
from eval.datasets import Dataset
from eval.datasets.synthetic import synthetic
from eval.truth import brute_force

K = 10
QUERIES, VECTORS = 500, 5_000
AXES: tuple[Literal["pca", "none", "random", "auto"], ...] = ("pca", "none", "random", "auto")

Make = Callable[[np.random.Generator, int], np.ndarray]


def _scaled(rng: np.random.Generator, n: int) -> np.ndarray:
    """Sparse, then centred and scaled: most coordinates have one value, and it is not 0."""
    x = _sparse(rng, n)
    return (x - 0.1) * np.linspace(0.5, 2, x.shape[1], dtype=np.float32)


def _sparse(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_exponential((n, 96)) * (rng.random((n, 96)) < 0.1)


def _rectified(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.maximum(rng.standard_normal((n, 64)) - 0.5, 0)


def _of_rank_20(rng: np.random.Generator, n: int) -> np.ndarray:
    mixing = np.random.default_rng(0).standard_normal((20, 64))
    return np.maximum(rng.standard_normal((n, 20)) @ mixing, 0)


def _counts(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.poisson(0.5, (n, 128))


def _words(rng: np.random.Generator, n: int) -> np.ndarray:
    """Bags of 30 words of Zipf's frequencies, by their logarithms."""
    frequencies = 1 / np.arange(3, 131)
    return np.log1p(rng.multinomial(30, frequencies / frequencies.sum(), n))


def _binary(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.random((n, 64)) < 0.2


MADE: dict[str, Make] = {
    "sparse, scaled, 96-d": _scaled,
    "rectified, 64-d": _rectified,
    "rectified, rank 20, 64-d": _of_rank_20,
    "counts, 128-d": _counts,
    "words, 128-d": _words,
    "binary, 64-d": _binary,
}
KNOWN = (("sparse", 96), ("sparse", 384), ("heavy", 96), ("clustered", 96), ("norms", 96), ("gaussian", 96))


def sets() -> dict[str, Callable[[], np.ndarray]]:
    """Return what makes each set: queries first, then vectors, then training vectors."""
    count = QUERIES + 2 * VECTORS
    made: dict[str, Callable[[], np.ndarray]] = {}
    for name, make in MADE.items():
        made[name] = lambda make=make: make(np.random.default_rng(1), count).astype(np.float32)  # type: ignore[misc]
    for kind, dim in KNOWN:
        made[f"{kind}, {dim}-d"] = lambda kind=kind, dim=dim: synthetic(kind, dim, count, 0)  # type: ignore[misc]
    return made


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.axes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bits", type=float, nargs="+", default=[8, 4, 2])
    parser.add_argument("--only", default="", help="only sets whose name contains this")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=100)
    grid = Table("data", "bits", *AXES, title="recall@10 by transform (its standard error: 0.001 to 0.005)")
    for name, make in sets().items():
        if arguments.only not in name:
            continue
        x = make()
        q, x, train = x[:QUERIES], x[QUERIES : QUERIES + VECTORS], x[QUERIES + VECTORS :]
        dataset, truth = Dataset(name, "ip", x, q), brute_force(x, q, K, "ip")
        for bits in arguments.bits:
            found = []
            for axes in AXES:
                index = iq.Index(x.shape[1], bits=bits, transform=axes, threads=arguments.threads)
                index.train(train)
                index.add(x)
                best = brute_force(index.reconstruct(np.arange(len(x))), q, K, "ip")
                found.append(float(hits(dataset, best, truth).mean()) / K)
            row = (name, f"{bits:g}", *(f"{value:.3f}" for value in found))
            console.print(*row)
            grid.add_row(*row)
    console.print(grid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
