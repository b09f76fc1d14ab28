"""Recall at equal bytes: ours beside every kind of FAISS's codes, on data of many kinds and dimensions.

``python -m eval.bytes [--fast] [--out FOLDER] [--only TEXT]``; ``--fast`` leaves out 384 and 1,536 dimensions.

Each peer is built first; then ours with as many bytes a vector as the peer takes, scale and all, rounded down to whole
ones. Nothing is tuned: default arguments, no training queries.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from eval.datasets import Dataset, load
from eval.datasets.synthetic import synthetic
from eval.systems.making import make
from eval.systems.system import SkippedError
from eval.truth import brute_force

K = 10
QUERIES = 500
KINDS = ("gaussian", "clustered", "heavy", "sparse")
# Vectors by dimension. With few of them, 256 centroids learn the vectors by heart: on 2,000 white vectors of 384
# dimensions PQ48x8 reaches 0.44 against our 0.40, on 40,000 it is 0.24 against 0.26.
ROWS = {7: 20_000, 50: 20_000, 384: 20_000, 1536: 6_000}
FAST_ROWS = {7: 5_000, 50: 20_000}
NOISE = 2.0  # standard errors of the difference that count as equal
# OPQ trains a product quantizer for each of 50 rotations: with 8 bits for d / 8 parts at most, up to 384 dimensions.
OPQ_DIM = 384


class Result(NamedTuple):
    """One peer and ours at its size."""

    dataset: str
    bytes: float
    peer: str
    peer_recall: float
    our_bytes: float
    our_recall: float
    error: float  # standard error of the difference: both answer the same queries


def peers(dim: int) -> list[str]:
    """Return factory strings of codes for this dimension, of all sizes; "np": no order of centroids that none reads."""
    parts = {dim // share for share in (1, 2, 4, 8) if dim % share == 0}
    found = [f"PQ{m}x{bits}np" for m in sorted(parts) for bits in (4, 8)]
    if 1 < dim <= OPQ_DIM:
        kinds = [(m, bits) for m in sorted(parts) for bits in (4, 8) if m < dim]
        found += [f"OPQ{m},PQ{m}x{bits}np" for m, bits in kinds if bits == 4 or dim <= 50 or 8 * m <= dim]
    found += [f"SQ{bits}" for bits in (4, 6, 8)]
    found += [f"RR{dim},RaBitQ{bits}" for bits in ("", 2, 4, 8)]
    return found + [f"RR{dim},EDEN{bits}" for bits in (1, 2, 4, 8)]


def datasets(fast: bool) -> list[Dataset]:
    """Return the sets: GloVe as it is, unnormalised, then synthetic ones of each kind and dimension."""
    found = [load("glove-50", QUERIES, 5_000 if fast else 20_000, 0)]
    for dim, count in (FAST_ROWS if fast else ROWS).items():
        for kind in KINDS:
            table = synthetic(kind, dim, QUERIES + count, 0)
            found.append(Dataset(f"{kind}-{dim}", "ip", table[QUERIES:], table[:QUERIES]))
    return found


def hits(dataset: Dataset, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the recall@10 of each query; whatever scores as high as the tenth of the truth counts.

    Sparse sets of few dimensions are full of vectors with the same scores, of which no code can tell the right ones.
    """
    x, q = np.asarray(dataset.train, dtype=np.float64), dataset.queries.astype(np.float64)
    least = np.einsum("ij,ij->i", q, x[truth[:, K - 1]])
    scores = np.einsum("ij,ikj->ik", q, x[np.maximum(found[:, :K], 0)])
    slack = 1e-6 * np.abs(least) + 1e-12
    return ((scores >= (least - slack)[:, None]) & (found[:, :K] >= 0)).mean(1)


def compare(dataset: Dataset, threads: int, console: Console) -> list[Result]:
    """Measure every peer that can be built, and ours at its size."""
    dim = dataset.train.shape[1]
    truth = brute_force(dataset.train, dataset.queries, K, dataset.metric)
    ours: dict[int, np.ndarray] = {}
    results = []
    for text in peers(dim):
        try:
            peer = make(f"faiss:{text}", 0, dataset.train.shape)
            peer.build(dataset, threads)
        except (SkippedError, RuntimeError) as error:
            console.print(f"{dataset.name} {text}: not built: {str(error).splitlines()[-1][:100]}", style="dim")
            continue
        size = int(peer.bytes_per_vector())
        if not 3 <= size <= 2 + dim:  # ours: a byte of codes at least, eight bits a dimension at most
            size = min(size, 2 + dim)
        if size < 3:
            continue
        theirs = hits(dataset, peer.search(dataset.queries, K, threads), truth)
        if size not in ours:
            mine = make(f"ipaq:bytes_per_vector={size}", 0, dataset.train.shape)
            mine.build(dataset, threads)
            ours[size] = hits(dataset, mine.search(dataset.queries, K, threads), truth)
        difference = ours[size] - theirs
        spread = float(difference.std() / np.sqrt(len(difference)))
        values = (float(theirs.mean()), float(size), float(ours[size].mean()), spread)
        results.append(Result(dataset.name, peer.bytes_per_vector(), text, *values))
        console.print(f"{dataset.name:14} {text:16} {results[-1].bytes:6g} B {values[0]:.3f}  ours {values[2]:.3f}")
    return results


def best(results: list[Result]) -> list[Result]:
    """Return, of the peers of one set and size, the one with the best recall."""
    chosen: dict[tuple[str, float], Result] = {}
    for result in results:
        key = (result.dataset, result.our_bytes)
        if key not in chosen or result.peer_recall > chosen[key].peer_recall:
            chosen[key] = result
    return list(chosen.values())


def behind(results: list[Result]) -> list[Result]:
    """Return those where the peer is better by more than chance."""
    return [r for r in results if r.peer_recall - r.our_recall > NOISE * r.error]


def table(results: list[Result]) -> Table:
    """Return the table: one line for each set and size, the best peer of that size beside ours."""
    grid = Table("data", "bytes", "best peer", "its recall@10", "ours", "difference", title="Recall at equal bytes")
    for r in sorted(best(results), key=lambda r: (r.dataset.split("-")[0], int(r.dataset.split("-")[1]), r.our_bytes)):
        gap = r.our_recall - r.peer_recall
        style = "red" if r in behind([r]) else None
        line = (r.dataset, f"{r.our_bytes:g}", r.peer, f"{r.peer_recall:.3f}", f"{r.our_recall:.3f}", f"{gap:+.3f}")
        grid.add_row(*line, style=style)
    return grid


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; return 1 if a peer of equal size is better anywhere."""
    parser = argparse.ArgumentParser(prog="python -m eval.bytes", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="7 and 50 dimensions only")
    parser.add_argument("--out", type=Path, default=Path("results/bytes"), help="folder for the records")
    parser.add_argument("--only", default="", help="only data sets whose name contains this")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    results: list[Result] = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    for dataset in datasets(arguments.fast):
        if arguments.only in dataset.name:
            results += compare(dataset, arguments.threads, console)
            (arguments.out / "records.json").write_text(json.dumps([r._asdict() for r in results], indent=1))
    console.print(table(results))
    worse = behind(results)
    console.print(f"{len(results)} comparisons, ours behind in {len(worse)}")
    for r in worse:
        console.print(f"  {r.dataset} {r.peer}: {r.peer_recall:.3f} at {r.bytes:g} B, ours {r.our_recall:.3f}")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
