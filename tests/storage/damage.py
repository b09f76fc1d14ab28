"""Flip random bits of a large file, one at a time, and count those that are noticed.

python -m tests.storage.damage --megabytes 64 --flips 10000
"""

import argparse
import mmap
import tempfile
import time
from pathlib import Path

import numpy as np

from ipaq_index.storage import IndexFileError
from ipaq_index.storage.contents import Contents
from tests.storage.made import Made


def large_file(path: Path, megabytes: float) -> None:
    """Write a file of about that size: saved whole, then grown and changed by a few commits."""
    rng = np.random.default_rng(0)
    rows = int(megabytes * (1 << 20) / 40)
    index = Made(codes=rng.integers(0, 256, (rows, 32), dtype=np.uint8), ids=rng.integers(0, 1 << 60, rows))
    index.sync(path)
    for _ in range(3):
        index.arrays["codes"] = np.concatenate([index.arrays["codes"], index.arrays["codes"][:1000]])
        index.arrays["ids"][rows // 2] += 1
        index.sync(path)


def missed(path: Path, flips: int, seed: int = 0) -> list[int]:
    """Flip ``flips`` bits of a file, one at a time; return those that `Contents` did not notice."""
    rng = np.random.default_rng(seed)
    unnoticed = []
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        data = np.frombuffer(content, dtype=np.uint8)
        data_of = Contents(data)
        data_of.verify()
        for bit in rng.integers(0, 8 * len(data), flips):
            data[bit // 8] ^= 1 << (bit % 8)
            try:
                Contents(data).verify()
                unnoticed.append(int(bit))
            except IndexFileError:
                pass
            data[bit // 8] ^= 1 << (bit % 8)
        data_of.verify()
        del data, data_of
    return unnoticed


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--flips", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.ipaq"
        large_file(path, options.megabytes)
        start = time.perf_counter()
        unnoticed = missed(path, options.flips)
        spent = time.perf_counter() - start
        size = path.stat().st_size
    print(f"{options.flips} single-bit flips of a file of {size:,} bytes: {len(unnoticed)} unnoticed ({spent:.0f} s)")
    raise SystemExit(bool(unnoticed))


if __name__ == "__main__":
    main()
