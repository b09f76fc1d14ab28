"""What partitioned indexes cost at a recall, and to build.

    python -m eval configs/ivf.toml && python -m eval.ivf results/ivf      queries a second at recall@10 = 0.85
    python -m eval.ivf --build                                             a million vectors of 96 dimensions, built

Records come from `python -m eval`; here nothing is timed but the build.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import ipaq_index as iq
from eval.datasets.synthetic import synthetic
from eval.memory import peak_memory
from eval.provenance import provenance
from eval.report import Record, batch_rate, family, front, is_ours, read, recall, size

RECALL = 0.85
BUILD = {"vectors": 1_000_000, "dim": 96, "bits": 4, "nlist": 1024}


def rate_at(records: list[Record], target: float) -> float:
    """Return the batch queries per second at which a system reaches a recall; their logarithm is linear between points.

    Parameters
    ----------
    records : list of dict
        Of one system at several search parameters.
    target : float
        Recall@10. The answer is nan if no two points lie on either side of it.
    """
    best = sorted(front(records, lambda r: -batch_rate(r), recall), key=recall)
    values, rates = [recall(r) for r in best], [np.log(batch_rate(r)) for r in best]
    if not best or not values[0] <= target <= values[-1]:
        return float("nan")
    return float(np.exp(np.interp(target, values, rates)))


def table(records: list[Record], target: float) -> str:
    """Return a Markdown table: each system's bytes and rate at a recall, and that rate over FAISS's best."""
    systems: dict[str, list[Record]] = {}
    for record in records:
        systems.setdefault(record["system"], []).append(record)
    rates = {name: rate_at(points, target) for name, points in systems.items()}
    peers = [rate for name, rate in rates.items() if not is_ours(systems[name][0]) and np.isfinite(rate)]
    best = max(peers, default=float("nan"))
    lines = [
        f"| system | bytes/vector | batch queries/s at recall@10 = {target:g} | of FAISS's best |\n",
        "| --- | ---: | ---: | ---: |\n",
    ]
    for name, points in systems.items():
        lines.append(f"| {name} | {size(points[0]):g} | {rates[name]:,.0f} | {rates[name] / best:.2f} |\n")
    return "".join(lines)


def beaten_everywhere(records: list[Record], most_bytes: float) -> list[tuple[str, float, float]]:
    """Return the points of others that ours, of at most so many bytes, do not beat: name, recall, rate.

    A point is beaten if one of ours, or a mixture of two neighbours on our front, has more recall at its rate.
    """
    ours = [r for r in records if is_ours(r) and size(r) <= most_bytes]
    best = sorted(front(ours, lambda r: -batch_rate(r), recall), key=batch_rate)
    rates, recalls = [np.log(batch_rate(r)) for r in best], [recall(r) for r in best]
    left = []
    for record in records:
        if is_ours(record):
            continue
        rate = np.log(batch_rate(record))
        reached = float(np.interp(rate, rates, recalls, right=0.0)) if best else 0.0
        if reached <= recall(record):
            left.append((record["name"], recall(record), batch_rate(record)))
    return left


def build(vectors: int, dim: int, bits: int, nlist: int, threads: int) -> dict[str, float]:
    """Build a partitioned index of clustered vectors; return seconds, peak bytes and the index's own bytes a vector.

    The vectors themselves are there before and do not count, nor does compiling, which a small index does first.
    """
    x = synthetic("clustered", dim, vectors, 0)
    made = {"bits": bits, "nlist": nlist, "threads": threads}
    small = iq.Index(dim, **{**made, "nlist": 8}).build(x[:5_000])  # type: ignore[arg-type]
    small.search(x[:10])
    index = iq.Index(dim, **made)  # type: ignore[arg-type]
    with peak_memory() as peak:
        begin = time.perf_counter()
        index.train(x)
        trained = time.perf_counter() - begin
        index.add(x)
        seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "train_seconds": trained,
        "peak_bytes": peak.bytes,
        "bytes_per_vector": index.bytes_per_vector,
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table of a folder of records, or build and print a record as JSON."""
    parser = argparse.ArgumentParser(prog="python -m eval.ivf", description="What partitioned indexes cost.")
    parser.add_argument("results", nargs="?", type=Path, help="a folder that `python -m eval configs/ivf.toml` wrote")
    parser.add_argument("--recall", type=float, default=RECALL, help="recall@10 to compare at (default: %(default)s)")
    parser.add_argument("--build", action="store_true", help="measure the building of one large index")
    for name, value in BUILD.items():
        parser.add_argument(f"--{name}", type=int, default=value, help="of --build (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of --build (default: %(default)s)")
    given = parser.parse_args(argv)
    if given.build:
        made = {name: getattr(given, name) for name in (*BUILD, "threads")}
        print(json.dumps({**made, **build(**made), "provenance": provenance()}, indent=1))
        return 0
    if given.results is None:
        parser.error("expected a folder of results, or --build")
    try:
        records = [record for record in read(given.results) if "skipped" not in record]
    except ValueError as error:
        print(f"python -m eval.ivf: {error}", file=sys.stderr)
        return 2
    print(table(records, given.recall))
    for peer in sorted({family(r) for r in records if not is_ours(r)}):
        most = max(size(r) for r in records if family(r) == peer)
        left = beaten_everywhere([r for r in records if is_ours(r) or family(r) == peer], most)
        told = "; ".join(f"{name}: {value:.3f} at {rate:,.0f}/s" for name, value, rate in left)
        print(
            f"{peer}, {most:g} bytes: "
            + (f"not beaten at {told}" if left else "beaten at every speed, in no more bytes")
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
