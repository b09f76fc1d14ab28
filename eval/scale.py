"""What a billion vectors would take: ``python -m eval.scale`` measures one core and works out the rest.

Measured on one thread: adding to a flat and to a partitioned index, the scan of a flat index for one query and for
many, the choice of lists, and the products that k-means is made of. Worked out from that and from bytes: memory,
machines, build time and latency. ``--page docs/scale.md`` writes it into that page, which says what is left out.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ipaq_index as iq
from eval.datasets.synthetic import synthetic
from eval.measure import pinned
from eval.provenance import provenance

ROUNDS = 7
BATCH = 64
LISTS, PROBES = 16_384, 64  # from so many lists a graph finds the nearest: its cost grows like the logarithm
LISTED_ROWS = 20_000
MEANS_ROUNDS, MEANS_POINTS = 10, 64  # of k-means, and training vectors a centroid
OPEN, CLOSE = "<!-- scale -->", "<!-- /scale -->"  # in the page, around what this module writes


@dataclass(frozen=True)
class Core:
    """What one core does in a second, and what a vector costs."""

    dim: int
    bits: float
    bytes_per_vector: float
    encoded: float  # vectors a second, added to a flat index
    listed: float  # vectors a second, added to an index of LISTS lists
    scanned_single: float  # vectors a second that one query is compared with
    scanned_batch: float  # vectors a second times queries of a batch
    probed: float  # queries a second that are given PROBES of LISTS lists
    multiplied: float  # vectors a second times centroids, in batches: k-means


@dataclass(frozen=True)
class Machine:
    """What the arithmetic takes a machine to be."""

    cores: int = 64
    memory_gb: float = 512
    used: float = 0.75  # share of the memory that codes and ids may take
    memory_gb_per_second: float = 200  # of all cores together: a scan cannot be faster than its codes are read
    disk_gb_per_second: float = 2  # of shared storage, a machine: building reads vectors twice and writes once
    merge_ms: float = 2.0  # network and merge


def measure(dim: int, bits: float, vectors: int) -> Core:
    """Measure one core on correlated Gaussian vectors."""
    made = synthetic("spectrum", dim, BATCH + vectors, 0)
    queries, x = made[:BATCH], made[BATCH:]
    centroids, few = np.ascontiguousarray(x[:LISTS]), x[:LISTED_ROWS]
    trained = iq.Index(dim, bits=bits, threads=1).train(x)
    index, warm = copy.deepcopy(trained), copy.deepcopy(trained)
    warm.add(x[:512])  # compiles
    encoded = len(x) / _seconds(lambda: index.add(x))
    single = _median(lambda: index.search(queries[:1], 10))
    batch = _median(lambda: index.search(queries, 10))
    lists = iq.Index(dim, bits=bits, nlist=LISTS, threads=1).train(x, centroids=centroids)
    lists.add(x[-512:])
    listed = len(few) / _seconds(lambda: lists.add(few))
    chosen = _median(lambda: lists.search(queries[:1], 10, nprobe=PROBES))
    multiplied = _median(lambda: few[:1024] @ centroids.T)
    return Core(
        dim=dim,
        bits=bits,
        bytes_per_vector=index.bytes_per_vector + 8,  # and an id
        encoded=encoded,
        listed=listed,
        scanned_single=len(x) / single,
        scanned_batch=len(x) * len(queries) / batch,
        probed=1 / chosen,
        multiplied=1024 * LISTS / multiplied,
    )


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _median(work: Callable[[], Any]) -> float:
    work()
    return float(np.median([_seconds(work) for _ in range(ROUNDS)]))


def plan(core: Core, machine: Machine, vectors: float, replicas: int, visited: float) -> dict[str, float]:
    """Work out what ``vectors`` take.

    Parameters
    ----------
    core, machine : Core, Machine
        Measured, and assumed.
    vectors : float
        How many.
    replicas : int
        Machines that hold the same shard.
    visited : float
        Share of the vectors that a query is compared with: 1 is a flat index.

    Returns
    -------
    dict of str to float
    """
    stored = vectors * core.bytes_per_vector
    shards = int(np.ceil(stored / (machine.memory_gb * 1e9 * machine.used)))  # machines, but for replicas
    compared = vectors * visited
    from_memory = compared * core.bytes_per_vector / (shards * machine.memory_gb_per_second * 1e9)
    flat = visited == 1
    lists = 0.0 if flat else 4 * np.sqrt(vectors / shards)  # the usual choice
    chosen = 0.0 if flat else 1 / core.probed  # on every machine, before its lists are scanned by all its cores
    # A query's work on one machine, in seconds of a core. A batch shares its loads and products where its queries look
    # at the same codes: in a flat index.
    alone = compared / shards / core.scanned_single
    work = compared / shards / core.scanned_batch if flat else alone + chosen
    seconds = max(alone / machine.cores, from_memory)
    pairs = MEANS_ROUNDS * MEANS_POINTS * lists**2
    moved = 3 * 4 * core.dim * vectors / (machine.disk_gb_per_second * 1e9)
    added = vectors / (core.encoded if flat else core.listed) / machine.cores
    return {
        "stored_tb": stored / 1e12,
        "machines": shards * replicas,
        "train_hours": pairs / (core.multiplied * machine.cores) / 3600,
        "add_hours": added / (shards * replicas) / 3600,
        "move_hours": moved / (shards * replicas) / 3600,
        "latency_ms": 1000 * (seconds + chosen) + machine.merge_ms,
        "queries_per_second": replicas / (work / machine.cores if flat else max(work / machine.cores, from_memory)),
    }


def table(core: Core, machine: Machine, replicas: int) -> str:
    """Return a Markdown table of the plans for a billion and a hundred billion vectors."""
    rows = [
        "| vectors | compared with a query | codes and ids TB | machines | k-means h | adding h | moving h "
        "| one query ms | queries/s |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for vectors in (1e9, 1e11):
        for visited in (1.0, 0.01, 0.001):
            p = plan(core, machine, vectors, replicas, visited)
            rows.append(
                f"| {vectors:,.0f} | {100 * visited:g} % | {p['stored_tb']:.3g} | {p['machines']:.0f} "
                f"| {p['train_hours']:.2g} | {p['add_hours']:.2g} | {p['move_hours']:.2g} "
                f"| {_rounded(p['latency_ms'])} | {_rounded(p['queries_per_second'])} |"
            )
    return "\n".join(rows)


def _rounded(value: float) -> str:
    """Write a number in two digits: more would claim too much."""
    return f"{float(f'{value:.2g}'):,g}"


def page(cores: Sequence[Core], machine: Machine, replicas: int, made: dict[str, Any]) -> str:
    """Return the part of ``docs/scale.md`` that is measured and worked out, in Markdown."""
    lines = [
        f"Measured on one thread of {made['cpu']} ({', '.join(made['isa'])}), commit {made['commit'][:7]}:",
        "",
        f"| dim | bits | bytes a vector and id | added/s, flat | added/s, {LISTS:,} lists | scanned/s, one query "
        f"| scanned/s, {BATCH} queries | {PROBES} lists chosen/s | products/s |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {c.dim} | {c.bits:g} | {c.bytes_per_vector:g} | {_rounded(c.encoded)} | {_rounded(c.listed)} "
            f"| {_rounded(c.scanned_single)} | {_rounded(c.scanned_batch)} | {_rounded(c.probed)} "
            f"| {_rounded(c.multiplied)} |"
            for c in cores
        ),
    ]
    for core in cores:
        lines += ["", f"{core.dim} dimensions at {core.bits:g} bits, {replicas} replicas:", ""]
        lines.append(table(core, machine, replicas))
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put text between the marks of a page.

    Raises
    ------
    ValueError
        If the page lacks the marks.
    """
    old = path.read_text()
    if old.count(OPEN) != 1 or old.count(CLOSE) != 1:
        raise ValueError(f"{path}: expected the marks {OPEN} and {CLOSE}, once each")
    before, _, rest = old.partition(OPEN)
    path.write_text(f"{before}{OPEN}\n{text}\n{CLOSE}{rest.partition(CLOSE)[2]}")


def main(argv: list[str] | None = None) -> int:
    """Measure, print the record as JSON and the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m eval.scale", description="Work out what large indexes take.")
    parser.add_argument("--dims", type=int, nargs="+", default=[384, 1024], help="default: %(default)s")
    parser.add_argument("--bits", type=float, nargs="+", default=[4, 2], help="of each (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="a page to write the tables into, between its marks")
    parser.add_argument("--vectors", type=int, default=100_000, help="to measure on (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=2, help="default: %(default)s")
    for name, value in asdict(Machine()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    machine = Machine(**{name: getattr(arguments, name) for name in asdict(Machine())})
    with pinned(1):
        pairs = zip(arguments.dims, arguments.bits, strict=True)
        cores = [measure(dim, bits, arguments.vectors) for dim, bits in pairs]
    made = provenance()
    record = {"cores": [asdict(core) for core in cores], "machine": asdict(machine), "provenance": made}
    print(json.dumps(record, indent=1))
    text = page(cores, machine, arguments.replicas, made)
    print(text)
    if arguments.page:
        write(arguments.page, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
