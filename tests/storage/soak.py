"""Let eight threads search, add, remove, sync and load at once, and check every answer.

python -m tests.storage.soak --seconds 60

Three threads search, two add, one removes, one syncs the index to a file and one loads that file. Searches and loads
tell all ids. These have to be exactly those of one moment between the call's beginning and its end, as far as the times
at which others began and ended to add and remove leave one; batches are there whole or not at all, every score is that
of its id's vector, and in the end index and file hold what was added and not removed, every vector its own.
"""

import argparse
import collections
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import ipaq_index as iq

D = 8
KINDS: dict[str, dict[str, Any]] = {
    "flat": {"bits": 8, "states": 8, "threads": 1},
    "lists, l2": {"bits": 8, "nlist": 4, "metric": "l2", "states": 8, "threads": 2},
}
LEAST, MOST = 300, 1500  # vectors in the index
BATCH = 7
RECORD = 5  # every so many calls, the ids are kept and checked in the end
TOLERANCE = 0.15  # of a score, by 8 bits a dimension
VECTORS = np.random.default_rng(0).standard_normal((997, D)).astype(np.float32)
ALWAYS = float("inf")


def vectors(ids: np.ndarray) -> np.ndarray:
    """Return the vectors that belong to ids."""
    return VECTORS[ids % len(VECTORS)]


@dataclass
class Lives:
    """When each batch of vectors came and went: lists of one entry a batch, that only grow."""

    adding: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)
    removing: list[float] = field(default_factory=list)
    removed: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self) -> int:
        """Return the number of a batch that is being added from now on."""
        with self.lock:
            self.added.append(ALWAYS)
            self.removing.append(ALWAYS)
            self.removed.append(ALWAYS)
            self.adding.append(time.perf_counter())
            return len(self.adding) - 1

    def alive(self) -> np.ndarray:
        """Return the batches that are there when nobody writes."""
        return np.flatnonzero(~np.isinf(self.added) & np.isinf(self.removed))


@dataclass(frozen=True)
class Answer:
    """The batches that a call told of, and between which times it looked."""

    begin: float
    end: float
    batches: np.ndarray

    def of_one_moment(self, lives: Lives) -> bool:
        """Return whether there is a moment at which the index may have held just these batches."""
        told = np.zeros(len(lives.adding), dtype=bool)
        told[self.batches] = True
        times = np.array([lives.adding, lives.added, lives.removing, lives.removed])
        # At the end of each span in which it may have been, at the latest, it was.
        moments = np.unique(np.append(times[(times >= self.begin) & (times <= self.end)], [self.begin, self.end]))
        adding, added, removing, removed = times[:, :, None]
        possible = np.where(
            told[:, None], (adding <= moments) & (moments <= removed), (moments <= added) | (moments >= removing)
        )
        return bool(possible.all(0).any())


class Soak:
    """One index, and what its threads know of it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.index = iq.Index(D, **KINDS[kind]).train(VECTORS)
        self.path = folder / f"{kind}.ipaq"
        self.lives = Lives()
        self.answers: list[Answer] = []
        self.there: collections.deque[int] = collections.deque()
        self.stop = threading.Event()
        self.faults: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.synced = time.perf_counter()
        self.add()
        self.index.sync(self.path)

    def add(self) -> None:
        """Add a batch."""
        number = self.lives.new()
        ids = np.arange(number * BATCH, (number + 1) * BATCH)
        self.index.add(vectors(ids), ids)
        self.lives.added[number] = time.perf_counter()
        self.there.append(number)

    def adder(self) -> None:
        if len(self.index) > MOST:
            time.sleep(0.001)
        else:
            self.add()

    def remover(self) -> None:
        if len(self.index) < LEAST:
            time.sleep(0.001)
            return
        self.there.rotate(int(time.perf_counter() * 1e6) % 50)
        number = self.there.popleft()
        self.lives.removing[number] = time.perf_counter()
        self.index.remove(np.arange(number * BATCH, (number + 1) * BATCH))
        self.lives.removed[number] = time.perf_counter()

    def searcher(self) -> None:
        """Search for one vector or many, all neighbours."""
        index, count = self.index, self.counts["searcher"]
        q = VECTORS[count % 900 :][: 1 + 7 * (count % 2)]
        begin = time.perf_counter()
        scores, ids = index.search(q, MOST + 100, nprobe=index.nlist)
        end = time.perf_counter()
        found = ids[0][ids[0] >= 0]
        for asked, row_scores, row in zip(q, scores, ids, strict=True):
            row, row_scores = row[row >= 0], row_scores[row >= 0]
            self.expect(np.array_equal(np.sort(row), np.sort(found)), "queries of one call saw two moments")
            x = vectors(row)
            true = ((x - asked) ** 2).sum(1) if index.metric == "l2" else x @ asked
            errors = np.abs(row_scores - true)
            self.expect(bool((errors < TOLERANCE * (1 + np.abs(true))).all()), f"a score is off by {errors.max():.2f}")
        self.note(begin, end, found, count)

    def syncer(self) -> None:
        begin = time.perf_counter()
        self.index.sync(self.path)
        self.synced = begin
        time.sleep(0.002)

    def loader(self) -> None:
        """Load the file: it is of a moment not before the last sync that had ended began."""
        begin = self.synced
        index = iq.load(self.path, mmap=bool(self.counts["loader"] % 2))
        self.note(begin, time.perf_counter(), index.ids(), self.counts["loader"])

    def note(self, begin: float, end: float, ids: np.ndarray, count: int) -> None:
        """Check that ids come in whole batches, and keep some to be checked later."""
        batches, times = np.unique(ids // BATCH, return_counts=True)
        self.expect(bool((times == BATCH).all()), f"part of a batch: {batches[times != BATCH]}")
        if count % RECORD == 0:
            self.answers.append(Answer(begin, end, batches))

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.faults.append(otherwise)

    def run(self, seconds: float) -> None:
        """Run all threads for so long, then check what is left."""
        roles = [self.searcher] * 3 + [self.adder] * 2 + [self.remover, self.syncer, self.loader]

        def work(role: Any) -> None:
            try:
                while not self.stop.is_set():
                    role()
                    self.counts[role.__name__] += 1
            except BaseException as error:
                self.faults.append(f"{role.__name__}: {type(error).__name__}: {error}")
                self.stop.set()

        threads = [threading.Thread(target=work, args=(role,)) for role in roles]
        for thread in threads:
            thread.start()
        self.stop.wait(seconds)
        self.stop.set()
        for thread in threads:
            thread.join()
        self.index.sync(self.path)
        expected = np.sort((self.lives.alive()[:, None] * BATCH + np.arange(BATCH)).ravel())
        for name, index in (("index", self.index), ("file", iq.load(self.path))):
            ids = np.sort(index.ids())
            self.expect(np.array_equal(ids, expected), f"{name}: {len(ids)} vectors, expected {len(expected)}")
            near = np.abs(index.reconstruct(ids) - vectors(ids)).max() < TOLERANCE if len(ids) else True
            self.expect(bool(near), f"{name}: a vector is not its own")
        wrong = sum(not answer.of_one_moment(self.lives) for answer in self.answers)
        self.expect(not wrong, f"{wrong} of {len(self.answers)} answers are of no moment")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    faults = []
    sys.setswitchinterval(1e-4)
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            soak = Soak(kind, Path(folder))
            soak.run(options.seconds / len(KINDS))
            counts = ", ".join(f"{count:,} by {role}s" for role, count in sorted(soak.counts.items()))
            print(
                f"{kind}: {counts}; {len(soak.answers):,} answers compared with the moments; {len(soak.faults)} faults"
            )
            faults += soak.faults
    print(*faults[:20], sep="\n")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
