"""Measuring systems side by side: build, recall, then timed rounds in which they take turns."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval import calibration
from eval.config import Experiment
from eval.datasets import Dataset
from eval.memory import peak_memory
from eval.systems import System, name_at
from eval.systems.ipaq import Ipaq
from eval.truth import recall

K = 10  # neighbours asked for in timed searches
KS = (10, 100)  # recall is measured at these
LEAST_ROUNDS = 3
LEAST_BATCH = 20
WARM_UP_ROWS = 2_000

Progress = Callable[[str], None]


@dataclass
class Built:
    """A system with its vectors in it."""

    system: System
    seconds: float
    peak_bytes: int
    warm_up_seconds: float


@dataclass
class Measurement:
    """What was seen of one system at one point of its search parameters; `record` makes it JSON-able."""

    built: Built
    text: str  # as the experiment names it
    point: dict[str, Any]
    recalls: dict[int, float] = field(default_factory=dict)
    query_seconds: float = 0.0  # core seconds a query took while recall was measured
    batch_queries: int = 0
    batch_seconds: list[float] = field(default_factory=list)
    single_seconds: list[float] = field(default_factory=list)
    calibration: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The system's name with its search parameters."""
        return name_at(self.built.system, self.point)

    def search(self, queries: np.ndarray, k: int, threads: int) -> np.ndarray:
        """Ask the system at this point."""
        return self.built.system.search(queries, k, threads)

    def set_point(self) -> None:
        """Give the system this point's search parameters."""
        self.built.system.set_search(**self.point)

    def record(self) -> dict[str, Any]:
        """Return raw figures: seconds of every round, not rates."""
        system = self.built.system
        found: dict[str, Any] = {
            "name": self.name,
            "family": system.family,
            "system": self.text,
            "search": self.point,
            "bytes_per_vector": system.bytes_per_vector(),
            "warm_up_seconds": self.built.warm_up_seconds,
            "build_seconds": self.built.seconds,
            "build_peak_bytes": self.built.peak_bytes,
            **{f"recall@{k}": value for k, value in self.recalls.items()},
            "batch_queries": self.batch_queries,
            "batch_seconds": self.batch_seconds,
            "single_seconds": self.single_seconds,
        }
        return found if self.calibration is None else found | {"calibration": self.calibration}


def build(system: System, make_again: Callable[[], System], dataset: Dataset, threads: int) -> Built:
    """Build one system, watching time and peak memory.

    A twin is built from a few vectors and asked first, so that neither time nor memory counts the compiling of kernels,
    which happens once on a machine (they are cached) and is told apart, as ``warm_up_seconds``.
    """
    warm_up = 0.0
    if isinstance(system, Ipaq):
        begin = time.perf_counter()
        few = np.asarray(dataset.train[: max(WARM_UP_ROWS, 2 * system.lists)], dtype=np.float32)
        twin = make_again()
        twin.build(Dataset(dataset.name, dataset.metric, few, dataset.queries, dataset.learn), threads)
        twin.search(dataset.queries[:LEAST_BATCH], K, threads)
        del twin
        warm_up = time.perf_counter() - begin
    with peak_memory() as peak:
        start = time.perf_counter()
        system.build(dataset, threads)
        seconds = time.perf_counter() - start
    return Built(system, seconds, peak.bytes, warm_up)


def measure_recall(measured: Measurement, dataset: Dataset, truth: np.ndarray, threads: int) -> None:
    """Ask all queries once for each k of `KS`, after a first query that meets cold caches and compilers."""
    measured.set_point()
    measured.search(dataset.queries[:1], K, threads)
    for k in KS:
        start = time.perf_counter()
        found = measured.search(dataset.queries, k, threads)
        seconds = (time.perf_counter() - start) * threads / len(dataset.queries)
        measured.recalls[k] = recall(found, truth, k)
        if k == K:
            measured.query_seconds = seconds
    system = measured.built.system
    if isinstance(system, Ipaq) and system.tells_errors:
        measured.calibration = calibration.observe(system, dataset)


def time_rounds(measured: list[Measurement], dataset: Dataset, experiment: Experiment, progress: Progress) -> None:
    """Time batch and single queries, the systems taking turns, so that a drift of the machine meets all of them.

    Half of the seconds a system may take go to batches and half to single queries. A system that is too slow to answer
    all queries in its share of a round is given a smaller batch, which the record tells.
    """
    share = experiment.seconds / LEAST_ROUNDS / 2
    spent = dict.fromkeys(range(len(measured)), 0.0)
    for one in measured:
        affordable = int(share * experiment.threads / one.query_seconds)
        one.batch_queries = min(len(dataset.queries), max(LEAST_BATCH, affordable))
    with pinned(experiment.threads):
        for round_ in range(experiment.rounds):
            for number, one in enumerate(measured):
                if round_ < LEAST_ROUNDS or spent[number] < experiment.seconds:
                    spent[number] += _time_once(one, dataset.queries, experiment, share)
                progress(one.name)


def _time_once(one: Measurement, queries: np.ndarray, experiment: Experiment, share: float) -> float:
    """Ask one batch, then queries one by one for at most ``share`` seconds; return the seconds both took."""
    one.set_point()
    one.search(queries[:1], K, experiment.threads)  # caches belong to another system until now
    start = time.perf_counter()
    one.search(queries[: one.batch_queries], K, experiment.threads)
    batch_end = time.perf_counter()
    singles = []
    for row in range(min(experiment.single_queries, len(queries))):
        begin = time.perf_counter()
        one.search(queries[row : row + 1], K, experiment.threads)
        end = time.perf_counter()
        singles.append(end - begin)
        if end - batch_end > share:
            break
    one.batch_seconds.append(batch_end - start)
    one.single_seconds.append(float(np.median(singles)))
    return time.perf_counter() - start


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep this process on as many cores as it has threads, where the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(before)[-threads:])  # the last cores: the first often serves interrupts
        yield
    finally:
        os.sched_setaffinity(0, before)
