"""Press Ctrl-C during long calls, and see how soon they end and whether the index is as it was.

python -m tests.storage.interrupt --times 5
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

D = 64
PATIENCE = 120  # seconds after which a call that does not end is given up

Call = Callable[[], Any]


def many(rows: int, d: int = D) -> np.ndarray:
    """Return a table that takes no time to make."""
    x = np.random.default_rng(0).standard_normal((4096, d), dtype=np.float32)
    return np.resize(x, (rows, d))


def long_index(rows: int) -> Any:
    """Return a flat index whose codes are those of few vectors again and again."""
    import ipaq_index as iq
    from tests.storage.craft import made, read

    state, arrays = read(iq.Index(D, encoding="scalar").build(many(4096)).to_bytes())
    times = rows // 4096
    for name in ("blocks", "rest", "side"):
        arrays[name] = np.concatenate([arrays[name]] * times)
    for name in ("room", "count"):
        arrays[f"runs.{name}"] = arrays[f"runs.{name}"] * times
    state |= dict.fromkeys(("count", "next_id", "encoded"), 4096 * times)
    return iq.Index.from_bytes(made(state, arrays))


def _build(**parameters: Any) -> tuple[Any, Call]:
    import ipaq_index as iq

    x = many(1_000_000)
    index = iq.Index(D, **parameters).build(x[:40_000])
    return index, lambda: index.build(x)


def _add(**parameters: Any) -> tuple[Any, Call]:
    import ipaq_index as iq

    x = many(1_000_000)
    index = iq.Index(D, **parameters).build(x[:3_000])
    return index, lambda: index.add(x)


def _search(threads: int) -> tuple[Any, Call]:
    index, q = long_index(4 << 20), many(100_000)
    index.search(q[:20], threads=threads)
    return index, lambda: index.search(q, threads=threads)


def _train_high() -> tuple[Any, Call]:
    import ipaq_index as iq

    index = iq.Index(32).build(many(500, 32))
    x, high = many(30_000, 1536), iq.Index(1536, encoding="scalar")
    return index, lambda: [high.train(x) for _ in range(100)]


CASES: dict[str, Callable[[], tuple[Any, Call]]] = {
    "build": lambda: _build(threads=2),
    "build, one thread": lambda: _build(threads=1),
    "build of 16,384 lists": lambda: _build(nlist=16_384, encoding="scalar", threads=2),
    "add": lambda: _add(threads=2),
    "add to lists": lambda: _add(nlist=50, threads=2),
    "search": lambda: _search(2),
    "search, one thread": lambda: _search(1),
    "train, 1536-d": _train_high,
}


def held(index: Any) -> tuple[bytes, ...]:
    """Return what an index holds and answers, comparable."""
    answers = index.search(many(7, index.dim), 5)
    whole = index.to_bytes() if len(index) < 100_000 else b""
    return whole, *(array.tobytes() for array in answers)


def child(name: str) -> None:
    """Make a long call, which Ctrl-C ends, and say whether all is as it was; runs in a process of its own."""
    index, call = CASES[name]()
    before = held(index)
    print("ready", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        call()
        print("ended by itself", flush=True)
        return
    print("stopped", flush=True)
    print("as it was" if held(index) == before else "changed", flush=True)


def interrupted(name: str, wait: float) -> tuple[float, list[str]]:
    """Press Ctrl-C ``wait`` seconds into a call; return how long it went on, and what the child said."""
    command = [sys.executable, "-m", "tests.storage.interrupt", "--child", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        assert process.stdout is not None
        said = [process.stdout.readline().strip()]
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        begin = time.perf_counter()
        said.append(process.stdout.readline().strip())
        spent = time.perf_counter() - begin
        said.append(process.stdout.readline().strip())
    finally:
        patience.cancel()
        process.kill()
        process.wait()
    return spent, said


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--case")
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    rng, wrong = np.random.default_rng(0), 0
    print("case | longest | median | index")
    for name in [options.case] if options.case else CASES:
        runs = [interrupted(name, rng.uniform(0.1, 2)) for _ in range(options.times)]
        spent, words = [run[0] for run in runs], {", ".join(run[1][1:]) for run in runs}
        wrong += words != {"stopped, as it was"} or max(spent) > 1
        print(f"{name} | {max(spent):.2f} s | {np.median(spent):.2f} s | {'; '.join(sorted(words))}", flush=True)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
