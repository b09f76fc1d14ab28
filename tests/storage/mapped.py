"""How long it takes to open a file that is mapped, and how much memory processes that map it need together.

python -m tests.storage.mapped --gigabytes 10 --processes 4

The large file is sparse: what it says of itself is there, its codes are a hole, and as long as nobody searches nobody
looks at them. The smaller one, which processes search, is real.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

import ipaq_index as iq
from ipaq_index import storage
from ipaq_index.storage import segment
from ipaq_index.storage.record import CommitRecord
from tests.storage.interrupt import D, long_index, many


def sparse_file(path: Path, gigabytes: float) -> None:
    """Write an index file of that size whose codes are all zero, with a digest that is not theirs."""
    with memoryview(long_index(4096).to_bytes()) as data:
        head = segment.Preamble(*segment.PREAMBLE.unpack(data[:56]))
        header = json.loads(bytes(data[128 : 128 + head.length]))
        small = bytes(data[128 + head.length :])
    blocks = next(section for section in header["sections"] if section["name"] == "blocks")
    (_, length, _) = blocks["patches"][0]
    times = int(gigabytes * 1e9 / length)
    blocks["shape"][0] *= times
    blocks["patches"][0][1] *= times
    header["state"]["count"] *= times
    text = json.dumps(header).encode()
    text = text.ljust(segment.padded(len(text)))
    end = 128 + len(text) + len(small) + segment.padded(length * times) - segment.padded(length)
    head = head._replace(length=len(text), end=end, header_digest=segment.digest(text))
    path.write_bytes(head.pack() + CommitRecord(end, head.digest).pack() + text)
    os.truncate(path, end)


def memory_of(path: Path) -> dict[str, int]:
    """Return kilobytes of this process's mappings of a file: "Rss", "Private_Clean", "Private_Dirty", …"""
    found: dict[str, int] = {}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and values[-1] == "kB":
            found[name[:-1]] = found.get(name[:-1], 0) + int(values[0])
    return found


def searched(path: str, barrier: object, results: object) -> None:
    """Map a file, search it, and tell the memory that its mapping takes while all others have it too."""
    index = iq.load(path, mmap=True)
    index.search(many(3), 5, threads=1)
    barrier.wait()  # type: ignore[attr-defined]
    results.put(memory_of(Path(path)))  # type: ignore[attr-defined]
    barrier.wait()  # type: ignore[attr-defined]


def together(path: Path, processes: int) -> list[dict[str, int]]:
    """Return the memory of processes that all have searched one mapped file."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=searched, args=(str(path), barrier, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.ipaq"
        sparse_file(path, options.gigabytes)
        for name, call in (
            ("load", lambda: len(iq.load(path, mmap=True))),
            ("describe", lambda: storage.describe(path)),
        ):
            times = []
            for _ in range(21):
                begin = time.perf_counter()
                call()
                times.append(1e3 * (time.perf_counter() - begin))
            size = path.stat().st_size
            print(f"{name} of {size:,} bytes: median {statistics.median(times):.2f} ms, first {times[0]:.2f} ms")
        path = Path(folder) / "searched.ipaq"
        iq.save(long_index(8 << 20), path)
        begin = time.perf_counter()
        index = iq.load(path, mmap=True)
        index.search(many(1), 5)
        first = time.perf_counter() - begin
        print(f"first search of {path.stat().st_size:,} bytes, every one checked: {first:.2f} s ({D}-d)")
        del index
        for memory in together(path, options.processes):
            kept = {name: memory[name] for name in ("Rss", "Pss", "Private_Clean", "Private_Dirty")}
            print("process: " + ", ".join(f"{name} {value / 1024:.1f} MB" for name, value in kept.items()))


if __name__ == "__main__":
    main()
