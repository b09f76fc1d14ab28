"""Peak memory of a stretch of work in this process."""

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peak:
    """Filled when the stretch ends: how far the resident memory rose above where it began, in bytes."""

    bytes: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak of resident memory inside the ``with`` block, above its level at the start.

    Pages that earlier work freed but the allocator kept are handed back first: without that a second build fills them
    again and seems to need nothing (SQ8 of 399,000 x 50 showed 9 MB; its codes alone take 20). Linux keeps a high-water
    mark that can be reset, which misses nothing; elsewhere memory is sampled every 5 ms.
    """
    peak = Peak()
    _give_back()
    before = psutil.Process().memory_info().rss
    if _reset_high_water():
        try:
            yield peak
        finally:
            peak.bytes = max(0, _high_water() - before)
        return
    done = threading.Event()
    sampler = threading.Thread(target=_sample, args=(peak, before, done), daemon=True)
    sampler.start()
    try:
        yield peak
    finally:
        done.set()
        sampler.join()


def _give_back() -> None:
    """Return freed pages to the system, where the C library can (glibc)."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _reset_high_water() -> bool:
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _high_water() -> int:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _sample(peak: Peak, before: int, done: threading.Event) -> None:
    process = psutil.Process()
    while not done.is_set():
        peak.bytes = max(peak.bytes, process.memory_info().rss - before)
        time.sleep(0.005)
