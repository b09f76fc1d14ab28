"""Load files made to deceive, and use what loads, under bounds checking, a memory limit and a watchdog.

python -m tests.storage.fuzz --cases 100000

A case takes a good file and changes it: its bytes, its preambles, its header or its arrays, in all but the first case
with every checksum made right again. Either loading refuses it with `IndexFileError`, or the index works: search, range
search, reconstruct, add, remove and sync end without an IndexError (which numba's bounds checking raises), without more
than `MEMORY` bytes, within `SECONDS`.
"""

import argparse
import copy
import faulthandler
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 1 << 30  # bytes that a process may take beyond what it had before the first case
SECONDS = 60  # that a case may take, compiling on a busy machine included
HOSTILE = [0, 1, -1, 2, 7, 31, 33, 255, 256, 2**16, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, -(2**63), 10**30]
ODD = [None, True, "", "ip", "trellis", "é" * 9, 0.5, -1.5, 1e308, [], [1], {}, {"a": 1}, [[[]]], "auto", "l2", "sq8"]

State = dict[str, Any]
Arrays = dict[str, np.ndarray]


def seeds() -> list[tuple[bytes, State, Arrays]]:
    """Return good files of many kinds, with what they hold."""
    import ipaq_index as iq
    from ipaq_index.storage.contents import Contents

    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 6)).astype(np.float32)
    kinds = [
        iq.Index(6),
        iq.Index(6, bits=2.5, metric="l2", encoding="scalar", threads=1),
        iq.Index(6, metric="cosine", nlist=3, states=8, threads=1),
        iq.Index(6, metric="l2", nlist=2, refine="sq8", bits=6, threads=1),
        iq.Index(6, refine="fp16", encoding="scalar", bits=7, threads=1),
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, index in enumerate(kinds):
            path = Path(folder) / str(number)
            if number:
                index.build(x[:100], ids=rng.permutation(1000)[:100] if number % 2 else None)
                index.sync(path)
                index.add(x[100:140])
                index.sync(path)
                if number > 1:
                    index.remove(index.ids()[::3])
            index.sync(path)
            data = path.read_bytes()
            contents = Contents(np.frombuffer(data, dtype=np.uint8))
            found.append((data, contents.state, contents.arrays()))
    return found


def case(seed: tuple[bytes, State, Arrays], rng: np.random.Generator) -> tuple[str, bytes]:
    """Return the kind and the bytes of one changed file."""
    kind: Callable[..., bytes] = KINDS[rng.choice(5, p=[0.1, 0.1, 0.2, 0.25, 0.35])]
    return kind.__name__[1:], kind(seed, rng)


def _bytes_changed(seed: tuple[bytes, State, Arrays], rng: np.random.Generator) -> bytes:
    data = bytearray(seed[0])
    for _ in range(rng.integers(1, 5)):
        a, b = sorted(int(i) for i in rng.integers(0, len(data), 2))
        choice = rng.integers(5)
        if choice == 0:
            data[a] ^= 1 << int(rng.integers(8))
        elif choice == 1:
            data = data[: b + 1]
        elif choice == 2:
            data[a:b] = rng.bytes(min(b - a, 64))
        elif choice == 3:
            data[a:a] = data[a:b]
        else:
            data[a:b] = bytes(b - a)
    return bytes(data)


def _preamble_changed(seed: tuple[bytes, State, Arrays], rng: np.random.Generator) -> bytes:
    from ipaq_index.storage import segment
    from ipaq_index.storage.record import CommitRecord

    data = seed[0]
    head = segment.Preamble(*segment.PREAMBLE.unpack(data[:56]))
    field = str(rng.choice(head._fields[1:]))
    values = [abs(h) for h in HOSTILE[:15]] + [64, 128, len(data), len(data) + 64]
    value = values[rng.integers(len(values))]
    head = head._replace(**{field: value % (1 << (32 if field in ("version", "needs", "offers", "zero") else 64))})
    end = int(rng.choice([head.end % (1 << 63), len(data), 2**62, 0, 128]))
    return head.pack() + CommitRecord(end, head.digest).pack() + data[128:]


def _header_changed(seed: tuple[bytes, State, Arrays], rng: np.random.Generator) -> bytes:
    import json

    from ipaq_index.storage import segment
    from ipaq_index.storage.record import CommitRecord
    from tests.storage.craft import made

    data = made(*seed[1:])
    head = segment.Preamble(*segment.PREAMBLE.unpack(data[:56]))
    header, body = json.loads(data[128 : 128 + head.length]), data[128 + head.length :]
    for _ in range(rng.integers(1, 3)):
        sections = header.get("sections")
        _mutate(sections if rng.random() < 0.8 and isinstance(sections, dict | list) else header, rng)
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        texts = [b"[" * 5000, b"{", b'{"a":NaN}', b"1" * 5000, b"\xff\xfe", text[:-1]]
        text = texts[rng.integers(len(texts))]
    text = text.ljust(segment.padded(len(text)))
    end = 128 + len(text) + len(body)
    head = head._replace(length=len(text), end=end, header_digest=segment.digest(text))
    return head.pack() + CommitRecord(end, head.digest).pack() + text + body


def _state_changed(seed: tuple[bytes, State, Arrays], rng: np.random.Generator) -> bytes:
    from tests.storage.craft import made

    state = copy.deepcopy(seed[1])
    for _ in range(rng.integers(1, 3)):
        _mutate(state, rng)
    return made(state, seed[2])


def _array_changed(seed: tuple[bytes, State, Arrays], rng: np.random.Generator) -> bytes:
    from tests.storage.craft import made

    state, arrays = copy.deepcopy(seed[1]), dict(seed[2])
    for _ in range(rng.integers(1, 3)):
        if arrays:
            name = str(rng.choice(sorted(arrays)))
            changed = _changed(arrays[name], rng)
            if changed is None:
                del arrays[name]
            else:
                arrays[name] = changed
    if rng.random() < 0.2:
        _mutate(state, rng)
    return made(state, arrays)


def _changed(array: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Return an array with some values, its length, its shape or its dtype changed; or None for none at all."""
    array = array.copy()
    choice = rng.integers(10)
    if choice < 6 and array.size:
        places = rng.integers(0, array.size, rng.integers(1, 4))
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array.flat[places] = rng.choice([np.nan, np.inf, -np.inf, 0, -1, 1e30, 1e-40, 3e38], len(places))
        else:
            info = np.iinfo(array.dtype)
            array.flat[places] = [min(max(HOSTILE[i], info.min), info.max) for i in rng.integers(0, 15, len(places))]
        return array
    if choice == 6:
        return rng.integers(0, 256, array.nbytes, dtype=np.uint8).view(array.dtype).reshape(array.shape)
    if choice == 7:
        return array[: rng.integers(0, len(array) + 1)] if array.ndim else array
    if choice == 8:
        return array.reshape(-1) if rng.random() < 0.5 else np.concatenate([array, array]) if array.ndim else array
    return None if rng.random() < 0.5 else array.astype(rng.choice(["u1", "<u2", "<i4", "<i8", "<f4"]))


def _mutate(node: Any, rng: np.random.Generator) -> None:
    """Change one leaf, or one branch, somewhere in JSON."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = keys[rng.integers(len(keys))]
    if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.85:
        _mutate(node[key], rng)
        return
    choice = rng.random()
    if choice < 0.1:
        del node[key]
    elif choice < 0.6:
        node[key] = HOSTILE[rng.integers(len(HOSTILE))]
    elif choice < 0.75 and isinstance(node[key], int | float):
        node[key] += int(rng.integers(-3, 4))
    else:
        node[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])  # it may be changed in its turn


KINDS = [_bytes_changed, _preamble_changed, _header_changed, _state_changed, _array_changed]


def outcome(data: bytes) -> str:
    """Load bytes and use the index; return "refused" or "works"."""
    import ipaq_index as iq

    try:
        index = iq.Index.from_bytes(data)
    except iq.IndexFileError:
        return "refused"
    if index.dim > 6 or not index.is_trained:
        return "works"
    many = np.linspace(-1, 1, 8 * index.dim, dtype=np.float32).reshape(8, -1)
    x = many[::5]  # few are searched for by look-ups, many by products
    index.search(many, 3, nprobe=index.nlist, threads=1)
    _, ids = index.search(x, 5, threads=1)
    index.search(x, 3, filter=ids[0][ids[0] >= 0], threads=1)
    index.range_search(x, 0.5, threads=1)
    held = index.ids()
    index.reconstruct(held[:50])
    try:
        index.add(x)
    except ValueError as error:  # a file may say that all numbers up to the largest have been used
        if "int64" not in str(error):
            raise
    if len(held):
        index.remove(held[:1])
    iq.Index.from_bytes(index.to_bytes()).search(x, 2, threads=1)
    return "works"


def run(first: int, cases: int, progress: bool = False, seconds: float = float("inf")) -> Counter[str]:
    """Run cases ``first`` to ``first + cases - 1``, or as many as there is time for; return how many ended how."""
    begin = time.perf_counter()
    good, tally = seeds(), Counter[str]()
    for data, _, _ in good:
        assert outcome(data) == "works"
    for number in range(first, first + cases):
        if time.perf_counter() - begin > seconds:
            break
        rng = np.random.default_rng(number)
        kind, data = case(good[rng.integers(len(good))], rng)
        if progress:
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            print(number, flush=True)
        try:
            tally[f"{kind} {outcome(data)}"] += 1
        except Exception as error:
            if not progress:
                raise AssertionError(f"case {number} ({kind})") from error
            tally[f"FAILED {number} {kind}"] += 1
            traceback.print_exc()
    faulthandler.cancel_dump_traceback_later()
    return tally


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Run cases in a process of their own, so that a crash is seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end earlier if they take longer")
    parser.add_argument("--inside", action="store_true", help="run in this process")
    options = parser.parse_args()
    if options.inside:
        faulthandler.enable()
        run(0, 0)  # everything is compiled and every library loaded before memory is limited
        _limit_memory()
        tally = run(options.first, options.cases, progress=True, seconds=options.seconds)
        print(*(f"{count:8,} {name}" for name, count in sorted(tally.items())), sep="\n")
        raise SystemExit(any(name.startswith("FAILED") for name in tally))
    start = time.perf_counter()
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "IPAQ_ISA": "portable",  # the vector code reads where this one reads
        "NUMBA_CACHE_DIR": str(Path(tempfile.gettempdir()) / "ipaq_fuzz_cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.storage.fuzz", "--inside"]
    command += ["--cases", str(options.cases), "--first", str(options.first), "--seconds", str(options.seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    print(*(line for line in lines if not line.isdigit()), sep="\n")
    if done.returncode:
        numbers = [line for line in lines if line.isdigit()]
        print(f"FAILED at case {numbers[-1] if numbers else '?'} with code {done.returncode}\n{done.stderr[-4000:]}")
        raise SystemExit(1)
    spent, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(
        f"{sum(line.isdigit() for line in lines):,} cases: no crash, hang, over-allocation or read out of bounds",
        end=" ",
    )
    print(f"({spent:.0f} s, at most {peak} MB)")


if __name__ == "__main__":
    main()
