"""What a billion vectors would take: ``python -m eval.scale`` measures one core and works out the rest.

Measured on one thread: encoding, the scan of a flat index for one query and for many, and the choice of lists of a
partitioned one. Worked out from that and from bytes: memory, machines, build time and latency. `docs/scale.md` shows
the result and says what the arithmetic leaves out.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import ipaq_index as iq
from eval.datasets.synthetic import synthetic
from eval.measure import pinned
from eval.provenance import provenance

ROUNDS = 7
BATCH = 64


@dataclass(frozen=True)
class Core:
    """What one core does in a second, and what a vector costs."""

    dim: int
    bytes_per_vector: float
    encoded: float  # vectors a second, added to a trained index
    scanned_single: float  # vectors a second that one query is compared with
    scanned_batch: float  # vectors a second times queries of a batch
    assigned: float  # centroids a second that one query is compared with


@dataclass(frozen=True)
class Machine:
    """What the arithmetic takes a machine to be."""

    cores: int = 64
    memory_gb: float = 512
    used: float = 0.75  # share of the memory that codes and ids may take
    memory_gb_per_second: float = 200  # of all cores together: a scan cannot be faster than its codes are read
    merge_ms: float = 2.0  # network and merge


def measure(dim: int, bits: float, vectors: int) -> Core:
    """Measure one core on correlated Gaussian vectors."""
    made = synthetic("spectrum", dim, BATCH + vectors, 0)
    queries, x = made[:BATCH], made[BATCH:]
    index = iq.Index(dim, bits=bits, threads=1).train(x)
    index.add(x[:512])  # compiles
    index = iq.Index(dim, bits=bits, threads=1).train(x)
    begin = time.perf_counter()
    index.add(x)
    encoded = len(x) / (time.perf_counter() - begin)
    single = _median(lambda: index.search(queries[:1], 10))
    batch = _median(lambda: index.search(queries, 10))
    centroids = np.ascontiguousarray(x[:16_384])
    assigned = _median(lambda: centroids @ queries[0])
    return Core(
        dim=dim,
        bytes_per_vector=index.bytes_per_vector + 8,  # and an id
        encoded=encoded,
        scanned_single=len(x) / single,
        scanned_batch=len(x) * len(queries) / batch,
        assigned=len(centroids) / assigned,
    )


def _median(work: Callable[[], Any]) -> float:
    work()
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


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
    machines = int(np.ceil(stored / (machine.memory_gb * 1e9 * machine.used)))
    cores = machines * machine.cores
    compared = vectors * visited
    # A query uses all cores of one replica; so does a batch, which shares its loads of codes: arithmetic bounds it.
    from_memory = compared * core.bytes_per_vector / (machines * machine.memory_gb_per_second * 1e9)
    # 4 sqrt(n) lists a machine, the usual choice; a flat index has none.
    lists = 0.0 if visited == 1 else 4 * np.sqrt(vectors / machines)
    coarse = lists / (core.assigned * machine.cores)
    latency = max(compared / (core.scanned_single * cores), from_memory) + coarse
    # A batch shares what it reads only where its queries look at the same codes: in a flat index.
    rate = cores * (core.scanned_batch if visited == 1 else core.scanned_single) / compared
    if visited < 1:
        rate = 1 / max(1 / rate + coarse, from_memory)
    return {
        "stored_tb": stored / 1e12,
        "machines": machines * replicas,
        "encode_hours": vectors / (core.encoded * cores * replicas) / 3600,
        "latency_ms": 1000 * latency + machine.merge_ms,
        "queries_per_second": rate * replicas,
    }


def table(core: Core, machine: Machine, replicas: int) -> str:
    """Return a Markdown table of the plans for a billion and a hundred billion vectors."""
    rows = [
        "| vectors | compared with a query | codes and ids TB | machines | encoding h | one query ms | queries/s |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for vectors in (1e9, 1e11):
        for visited in (1.0, 0.01, 0.001):
            p = plan(core, machine, vectors, replicas, visited)
            rows.append(
                f"| {vectors:,.0f} | {visited:.1%} | {p['stored_tb']:.3g} | {p['machines']:.0f} "
                f"| {p['encode_hours']:.2g} | {p['latency_ms']:.3g} | {p['queries_per_second']:,.0f} |"
            )
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Measure, print the record as JSON and the tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m eval.scale", description="Work out what large indexes take.")
    parser.add_argument("--dim", type=int, default=384, help="default: %(default)s")
    parser.add_argument("--bits", type=float, default=4, help="bits a dimension (default: %(default)s)")
    parser.add_argument("--vectors", type=int, default=100_000, help="to measure on (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=2, help="default: %(default)s")
    for name, value in asdict(Machine()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    machine = Machine(**{name: getattr(arguments, name) for name in asdict(Machine())})
    with pinned(1):
        core = measure(arguments.dim, arguments.bits, arguments.vectors)
    print(json.dumps({"core": asdict(core), "machine": asdict(machine), "provenance": provenance()}, indent=1))
    print(table(core, machine, arguments.replicas))
    return 0


if __name__ == "__main__":
    sys.exit(main())
