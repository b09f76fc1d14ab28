"""What a process pays before and beside the scan: ``python -m eval.coldstart``.

First build and searches without and with numba's cache, import, one search of a small index, memory of a batch over a
million vectors, two threads against one. Each figure comes from a fresh process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
CORES = len(os.sched_getaffinity(0))
IMPORT = """
import sys, time
begin = time.perf_counter()
import ipaq_index
tell(seconds=time.perf_counter() - begin, numba="numba" in sys.modules)
"""
BUILD = """
import time
import numpy as np
x = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
begin = time.perf_counter()
import ipaq_index as iq
index = iq.Index(64, **KIND).build(x)
seconds = time.perf_counter() - begin
iq.save(index, PATH)
tell(seconds=seconds)
"""
SEARCH = """
import time
import numpy as np
q = np.random.default_rng(1).standard_normal((QUERIES, 64), dtype=np.float32)
begin = time.perf_counter()
import ipaq_index as iq
iq.load(PATH).search(q, threads=1)
tell(seconds=time.perf_counter() - begin)
"""
KINDS = {
    "trellis": {}, "trellis, l2": {"metric": "l2"}, "trellis, 8 lists": {"nlist": 8}, "scalar": {"encoding": "scalar"},
}  # fmt: skip
FIRSTS = {"build": (BUILD, {}), "one query": (SEARCH, {"QUERIES": 1}), "100 queries": (SEARCH, {"QUERIES": 100})}
SINGLE = """
import time
import numpy as np, ipaq_index as iq
x = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
index = iq.Index(64, threads=1).build(x)
q = x[:1] + 1
seconds = []
for _ in range(3000):
    begin = time.perf_counter()
    index.search(q)
    seconds.append(time.perf_counter() - begin)
from ipaq_index.index import alone
kernel = []
plain = alone.answer
def timed(*arguments):
    begin = time.perf_counter()
    plain(*arguments)
    kernel.append(time.perf_counter() - begin)
alone.answer = timed
for _ in range(3000):
    index.search(q)
tell(whole=float(np.median(seconds)), kernel=float(np.median(kernel)))
"""
MILLION = """
import time
import numpy as np, ipaq_index as iq
from eval.memory import peak_memory
rng = np.random.default_rng(0)
index = iq.Index(32, encoding="scalar").train(rng.standard_normal((65_536, 32), dtype=np.float32))
for _ in range(16):
    index.add(rng.standard_normal((62_500, 32), dtype=np.float32))
q = rng.standard_normal((1000, 32), dtype=np.float32)
index.search(q[:100])
with peak_memory() as peak:
    index.search(q, threads=2)
seconds = {1: [], 2: []}
for _ in range(5):
    for threads in seconds:
        begin = time.perf_counter()
        index.search(q, threads=threads)
        seconds[threads].append(time.perf_counter() - begin)
one, two = (float(np.median(values)) for values in seconds.values())
tell(megabytes=peak.bytes / 1e6, codes=index.bytes_per_vector, one=one, two=two)
"""


def fresh(code: str, cache: str | None = None, **values: Any) -> dict:
    """Run code in a process of its own; return what it tells. ``cache``: a folder for numba's cache."""
    constants = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    tell = "def tell(**figures):\n    import json\n    print('told', json.dumps(figures))\n"
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    done = subprocess.run(
        [sys.executable, "-c", tell + constants + code],
        env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.rpartition("told ")[2])


def first_calls(folder: Path) -> Table:
    """Return the seconds of first calls, each in a process of its own: without any cached kernel, then with them."""
    table = Table("1,000 x 64", *FIRSTS, title="First calls: empty cache (full cache)")
    for kind, parameters in KINDS.items():
        told = []
        for first, (code, values) in FIRSTS.items():
            cache = str(folder / f"{kind} {first}")
            empty, full = (
                fresh(code, cache, PATH=str(folder / "index.ipaq"), KIND=parameters, **values)["seconds"]
                for _ in range(2)
            )
            told.append(f"{empty:.1f} ({full:.2f}) s")
        table.add_row(kind, *told)
    return table


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m eval.coldstart", description="Measure what stands round the scan.")
    parser.add_argument("--firsts", action="store_true", help="first calls only, which compile for two minutes")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        Console(width=120).print(first_calls(Path(folder)))
    if arguments.firsts:
        return 0
    table = Table("what", "measured", "bar", title="Around the scan")
    found = min((fresh(IMPORT) for _ in range(5)), key=lambda told: told["seconds"])
    table.add_row("import ipaq_index", f"{found['seconds']:.3f} s, numba: {found['numba']}", "0.3 s, no numba")
    single = fresh(SINGLE)
    table.add_row(
        "one query, 1,000 x 64",
        f"{single['whole'] * 1e6:.0f} us, {(single['whole'] - single['kernel']) * 1e6:.0f} of them outside the kernel",
        "100 us outside",
    )
    big = fresh(MILLION)
    table.add_row("memory of 1,000 queries, 1M x 32", f"{big['megabytes']:.1f} MB beyond the index", "50 MB")
    ratio = big["one"] / big["two"]
    table.add_row(
        f"2 threads of {CORES} cores, 1,000 queries, 1M x 32",
        f"{ratio:.2f} x 1 thread ({1000 / big['one']:.0f} q/s)",
        "",
    )
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
