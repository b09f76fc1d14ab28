"""What a process pays before and beside the scan: ``python -m eval.coldstart``.

Import, first build and search without and with numba's cache, one search of a small index, memory of a batch over a
million vectors, two threads against one. Each figure comes from a fresh process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

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
FIRST = """
import time
import numpy as np
x = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
begin = time.perf_counter()
import ipaq_index as iq
index = iq.Index(64, encoding=ENCODING).build(x)
built = time.perf_counter()
index.search(x[0])
tell(build=built - begin, search=time.perf_counter() - built)
"""
LOADED = """
import time
import numpy as np, ipaq_index as iq
begin = time.perf_counter()
index = iq.load(PATH)
index.search(np.ones(index.dim, dtype=np.float32))
tell(seconds=time.perf_counter() - begin)
"""
SAVE = """
import numpy as np, ipaq_index as iq
x = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
iq.save(iq.Index(64).build(x), PATH)
tell()
"""
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
from ipaq_index.scan import few
kernel = []
plain = few.by_lookups
def timed(*arguments):
    begin = time.perf_counter()
    plain(*arguments)
    kernel.append(time.perf_counter() - begin)
few.by_lookups = timed
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


def fresh(code: str, cache: str | None = None, **values: str) -> dict:
    """Run code in a process of its own; return what it tells. ``cache``: a folder for numba's cache."""
    constants = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    tell = "def tell(**figures):\n    import json\n    print('told', json.dumps(figures))\n"
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    done = subprocess.run(
        [sys.executable, "-c", tell + constants + code],
        env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.rpartition("told ")[2])


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m eval.coldstart", description="Measure what stands round the scan.")
    parser.add_argument("--compile", action="store_true", help="also without numba's cache, which takes minutes")
    arguments = parser.parse_args(argv)
    table = Table("what", "measured", "bar", title="Around the scan")
    found = min((fresh(IMPORT) for _ in range(5)), key=lambda told: told["seconds"])
    table.add_row("import ipaq_index", f"{found['seconds']:.3f} s, numba: {found['numba']}", "0.3 s, no numba")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "index.ipaq")
        fresh(SAVE, PATH=path)
        for encoding in ("trellis", "scalar"):
            if arguments.compile:
                cold = fresh(FIRST, str(Path(folder) / encoding), ENCODING=encoding)
                table.add_row(
                    f"first build and search, {encoding}, not cached",
                    f"{cold['build']:.1f} s, then {cold['search']:.1f} s", "search 10 s",
                )  # fmt: skip
            fresh(FIRST, ENCODING=encoding)
            warm = fresh(FIRST, ENCODING=encoding)
            table.add_row(
                f"first build and search, {encoding}, cached",
                f"{warm['build']:.2f} s, then {warm['search']:.2f} s", "search 1 s",
            )  # fmt: skip
        fresh(LOADED, PATH=path)
        table.add_row("load and first search, cached", f"{fresh(LOADED, PATH=path)['seconds']:.2f} s", "1 s")
        if arguments.compile:
            cold = fresh(LOADED, str(Path(folder) / "loaded"), PATH=path)
            table.add_row("load and first search, not cached", f"{cold['seconds']:.1f} s", "10 s")
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
