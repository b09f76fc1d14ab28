"""Recall at equal bytes: ours beside every kind of FAISS's codes, on data of many kinds and dimensions.

    python -m eval.bytes             all sets; about three hours, most of it OPQ of 1,536 dimensions
    python -m eval.bytes --fast      7 and 50 dimensions; about 5 minutes
    python -m eval.bytes --table     what is on record, nothing measured

Each peer is built first; then ours with as many bytes a vector as the peer takes, scale and all, rounded down to whole
ones. Nothing is tuned: default arguments, no training queries. All are trained on other vectors than those searched:
256 centroids a part learn a few thousand vectors by heart, and their own bytes count nowhere. (On 2,000 white vectors
of 384 dimensions PQ48x8 reaches 0.44 and ours 0.40 so, on 40,000 it is 0.24 and 0.26.)

A run that is ended goes on where it stopped: results are appended to ``records.jsonl``. Those of peers are good for
their version of FAISS, ours for one state of ``ipaq_index``.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from rich.console import Console
from rich.table import Table

import ipaq_index as iq
from eval.datasets import Dataset, load
from eval.datasets.synthetic import synthetic
from eval.provenance import provenance
from eval.truth import brute_force

K = 10
QUERIES = 500
KINDS = ("gaussian", "clustered", "heavy", "sparse")
GLOVE_ROWS = 10_000
ROWS = {7: 10_000, 50: 10_000, 384: 10_000, 1536: 5_000}  # vectors by dimension, and as many to train on
FAST = (7, 50)  # dimensions of the short run
NOISE = 2.0  # standard errors of the difference that count as equal
# A byte for each of many dimensions takes PQ minutes; SQ8, EDEN8 and RaBitQ8 have that size too.
WHOLE_BYTES_DIM = 50
# OPQ trains a product quantizer for each rotation it tries, 50 of them if not told otherwise.
OPQ_ROTATIONS = 10


class Pair(NamedTuple):
    """One peer, and ours at its size."""

    dataset: str
    dim: int
    bytes: float
    peer: str
    peer_recall: float
    our_bytes: float
    our_recall: float
    error: float  # standard error of the difference: both answer the same queries

    @property
    def gap(self) -> float:
        """How far ours is ahead, in standard errors; infinite where all queries have the same difference."""
        gap = self.our_recall - self.peer_recall
        return gap / self.error if self.error > 0 else float(np.sign(gap) * np.inf) if gap else 0.0


def peers(dim: int) -> list[str]:
    """Return factory strings of codes for this dimension, of all sizes, those that take long to train last.

    "np": no order of centroids that none reads.
    """
    parts = sorted({dim // share for share in (1, 2, 4, 5, 8) if dim % share == 0})
    found = [f"SQ{bits}" for bits in (4, 6, 8)]
    found += [f"RR{dim},RaBitQ{bits}" for bits in ("", 2, 4, 8)]
    found += [f"RR{dim},EDEN{bits}" for bits in (1, 2, 4, 8)]
    products = [(m, bits) for bits in (4, 8) for m in parts if bits == 4 or m < dim or dim <= WHOLE_BYTES_DIM]
    found += [f"PQ{m}x{bits}np" for m, bits in products]
    rotated = [(m, bits) for m, bits in products if m < dim and (dim <= WHOLE_BYTES_DIM or m * bits <= dim)]
    return found + [f"OPQ{m},PQ{m}x{bits}np" for m, bits in rotated]


def datasets(dims: tuple[int, ...], only: str) -> Iterator[tuple[Dataset, np.ndarray]]:
    """Yield sets and their training vectors: GloVe as it is, unnormalised, then synthetic ones of each kind."""
    if only in "glove-50":
        glove = load("glove-50", QUERIES, 2 * GLOVE_ROWS, 0)
        x = np.asarray(glove.train)
        yield replace(glove, train=x[:GLOVE_ROWS]), x[GLOVE_ROWS:]
    for dim in dims:
        count = ROWS[dim]
        for kind in KINDS:
            if only in f"{kind}-{dim}":
                table = synthetic(kind, dim, QUERIES + 2 * count, 0)
                x = table[QUERIES:]
                yield Dataset(f"{kind}-{dim}", "ip", x[:count], table[:QUERIES]), x[count:]


def hits(dataset: Dataset, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how many of the ten best each query found; whatever scores as high as the tenth of the truth counts.

    Sparse sets of few dimensions are full of vectors with the same scores, of which no code can tell the right ones.
    """
    x, q = np.asarray(dataset.train, dtype=np.float64), dataset.queries.astype(np.float64)
    least = np.einsum("ij,ij->i", q, x[truth[:, K - 1]])
    scores = np.einsum("ij,ikj->ik", q, x[np.maximum(found[:, :K], 0)])
    slack = 1e-6 * np.abs(least) + 1e-12
    return ((scores >= (least - slack)[:, None]) & (found[:, :K] >= 0)).sum(1)


def peer(text: str, dataset: Dataset, train: np.ndarray, threads: int) -> tuple[float, np.ndarray]:
    """Return a FAISS index's bytes a vector and what it finds.

    Raises
    ------
    RuntimeError
        If FAISS cannot make it.
    """
    import faiss

    faiss.omp_set_num_threads(threads)
    dim = train.shape[1]
    index: Any = faiss.index_factory(dim, text, faiss.METRIC_INNER_PRODUCT)
    if text.startswith("OPQ"):
        opq: Any = faiss.downcast_VectorTransform(index.chain.at(0))
        opq.niter = OPQ_ROTATIONS
    coder: Any = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if hasattr(coder, "pq"):  # it warns on standard error for each sub-quantizer of a small set
        coder.pq.cp.min_points_per_centroid = 1
    index.train(train)
    index.add(np.asarray(dataset.train))
    return float(coder.code_size), index.search(dataset.queries, K)[1]


def ours(size: int, dataset: Dataset, train: np.ndarray, threads: int) -> tuple[float, np.ndarray]:
    """Return our bytes a vector and what is found."""
    index = iq.Index(train.shape[1], bytes_per_vector=size, threads=threads)
    index.train(train)
    index.add(np.asarray(dataset.train))
    return index.bytes_per_vector, index.search(dataset.queries, K)[1]


class Records:
    """Results in a file, one a line: what is there already is not measured again."""

    def __init__(self, file: Path, threads: int, console: Console) -> None:
        self.file, self._threads, self._console = file, threads, console
        self._origin = {"faiss": provenance()["versions"]["faiss-cpu"], "ipaq": _source()}
        self.records: list[dict[str, Any]] = []
        known = file.read_text() if file.exists() else ""
        self._begin = "\n" if known and not known.endswith("\n") else ""
        for line in known.splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the line that was being written when the run ended
                continue
            family = "ipaq" if record["system"].startswith("ipaq") else "faiss"
            if record["origin"] == self._origin[family]:
                self.records.append(record)

    def get(self, system: str, dataset: Dataset, train: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Return the result of a system, "ipaq BYTES" or a factory string, on a set."""
        key = {"dataset": dataset.name, "rows": len(dataset.train), "queries": len(dataset.queries), "system": system}
        for record in self.records:
            if key.items() <= record.items():
                return record
        mine = system.startswith("ipaq")
        begin = time.perf_counter()
        try:
            if mine:
                size, found = ours(int(system.split()[1]), dataset, train, self._threads)
            else:
                size, found = peer(system, dataset, train, self._threads)
            result = {"bytes": size, "hits": hits(dataset, found, truth).tolist()}
        except RuntimeError as error:
            if mine:
                raise  # a peer that fails is told and left out; ours must not fail
            result = {"error": str(error).splitlines()[-1].strip()[:200]}
        seconds = round(time.perf_counter() - begin, 1)
        record = key | result | {"seconds": seconds, "origin": self._origin["ipaq" if mine else "faiss"]}
        told = f"{np.mean(result['hits']) / K:.3f}" if "hits" in result else f"not built: {result['error']}"
        self._console.print(f"{dataset.name:14} {system:18} {told}  {seconds:g} s")
        self.records.append(record)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "a") as out:
            out.write(self._begin + json.dumps(record) + "\n")
        self._begin = ""
        return record


def our_size(bytes_of_peer: float, dim: int) -> int:
    """Return the bytes ours may take; 0 if it needs more: a byte of codes at least, eight bits a dimension at most."""
    size = min(int(bytes_of_peer), 2 + dim)
    return size if size >= 3 else 0


def pairs(records: list[dict[str, Any]]) -> list[Pair]:
    """Return each peer on record beside ours at its size, where both are."""
    known = {(r["dataset"], r["rows"], r["queries"], r["system"]): r for r in records if "hits" in r}
    found = []
    for (*place, system), r in known.items():
        dim = int(r["dataset"].rpartition("-")[2])
        mine = known.get((*place, f"ipaq {our_size(r['bytes'], dim)}"))
        if system.startswith("ipaq") or mine is None:
            continue
        theirs, own = np.array(r["hits"]) / K, np.array(mine["hits"]) / K
        error = float((own - theirs).std() / np.sqrt(len(own)))
        means = (float(theirs.mean()), mine["bytes"], float(own.mean()))
        found.append(Pair(r["dataset"], dim, r["bytes"], system, *means, error))
    return found


def best(found: list[Pair]) -> list[Pair]:
    """Return, of the peers of one set and size, the one with the best recall; sets in order of dimension."""
    chosen: dict[tuple[str, float], Pair] = {}
    for pair in found:
        key = (pair.dataset, pair.our_bytes)
        if key not in chosen or pair.peer_recall > chosen[key].peer_recall:
            chosen[key] = pair
    return sorted(chosen.values(), key=lambda p: (p.dim, p.dataset, p.our_bytes))


def behind(found: list[Pair]) -> list[Pair]:
    """Return those where the peer is better by more than chance."""
    return [pair for pair in found if pair.gap < -NOISE]


def table(found: list[Pair]) -> Table:
    """Return the table: one line for each set and size, the best peer of that size beside ours."""
    columns = ("data", "bytes", "best peer", "its recall@10", "ours", "difference", "in standard errors")
    grid = Table(*columns, title="Recall at equal bytes")
    for p in best(found):
        values = (
            f"{p.peer_recall:.3f}",
            f"{p.our_recall:.3f}",
            f"{p.our_recall - p.peer_recall:+.3f}",
            f"{p.gap:+.1f}",
        )
        grid.add_row(p.dataset, f"{p.our_bytes:g}", p.peer, *values, style="red" if behind([p]) else None)
    return grid


def _source() -> str:
    """Return a hash of the package's source: what our records are good for."""
    key = xxhash.xxh3_64()
    root = Path(iq.__file__).parent
    for part in ("levels", "quantizer", "scan", "index"):
        for file in sorted((root / part).glob("*.py")):
            key.update(file.read_bytes())
    return key.hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; return 1 if a peer of equal size is better anywhere by more than chance."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.bytes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="7 and 50 dimensions only")
    parser.add_argument("--out", type=Path, default=Path("results/bytes"), help="folder for the records")
    parser.add_argument("--only", default="", help="only data sets whose name contains this")
    parser.add_argument("--peers-only", action="store_true", help="measure peers, not ours")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    records = Records(arguments.out / "records.jsonl", arguments.threads, console)
    if not arguments.table:
        for dataset, train in datasets(FAST if arguments.fast else tuple(ROWS), arguments.only):
            truth = brute_force(dataset.train, dataset.queries, K, dataset.metric)
            for system in peers(train.shape[1]):
                record = records.get(system, dataset, train, truth)
                size = our_size(record.get("bytes", 0), train.shape[1])
                if size and not arguments.peers_only:
                    records.get(f"ipaq {size}", dataset, train, truth)
    found = [pair for pair in pairs(records.records) if arguments.only in pair.dataset]
    console.print(table(found))
    worse = behind(found)
    for p in worse:
        console.print(f"  {p.dataset} {p.peer}: {p.peer_recall:.3f} at {p.bytes:g} B, ours {p.our_recall:.3f}")
    tried = f"{len(found)} comparisons on {len({p.dataset for p in found})} sets, {QUERIES} queries each"
    console.print(f"{tried}: ours behind by more than {NOISE:g} standard errors in {len(worse)}")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
