"""What is measured: every solver on every kind of values, sorting the same values in turns with it."""

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from eval.levels.values import DRAWS, draw, most
from ipaq_index import levels

Record = dict[str, Any]
ROUNDS = 9
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Solver:
    """A way to call `levels.solve`."""

    objective: str
    method: str
    ordered: bool  # whether the input is sorted and said to be
    eps: float | None = None

    @property
    def name(self) -> str:
        """As tables name it."""
        how = "exact" if self.method == "exact" else self.method + (f" {self.eps:.0%}" if self.eps else "")
        return f"{self.objective} {how}, {'sorted' if self.ordered else 'unsorted'}"

    def solve(self, w: np.ndarray, s: int) -> levels.LevelSet:
        """Solve."""
        return levels.solve(w, s, self.objective, None, self.method, self.eps, assume_sorted=self.ordered)


SOLVERS = (
    Solver("adv", "exact", True),
    Solver("adv", "vmix", True),
    Solver("adv", "grid", True),
    Solver("adv", "vmix", False),
    Solver("mse", "exact", True),
    Solver("mse", "vmix", True),
    Solver("mse", "vmix", False),
    Solver("mdv", "exact", True),
    Solver("mdv", "auto", False, eps=0.01),
)


@dataclass(frozen=True)
class Plan:
    """Which cases to measure."""

    draws: tuple[str, ...]
    exponents: tuple[int, ...]  # sizes are powers of two
    counts: tuple[int, ...]
    many: tuple[int, int]  # columns and values of `solve_many`

    @staticmethod
    def full() -> "Plan":
        """Return the paper's kind of experiment."""
        return Plan(tuple(DRAWS), (10, 12, 14, 16, 18, 20, 22), (4, 16, 64, 256), (384, 65_536))

    @staticmethod
    def bars() -> "Plan":
        """Return what the bars of `eval.levels.bars` need."""
        return Plan(("normal", "lognormal", "Pareto(1.5)"), (16, 20), (4, 16, 64, 256), (384, 65_536))

    @staticmethod
    def fast() -> "Plan":
        """Return what a minute or two allows."""
        return Plan(("normal", "lognormal", "Pareto(1.5)"), (10, 13, 16), (4, 16, 64), (16, 16_384))

    def up_to(self, exponent: int) -> "Plan":
        """Return the plan without sizes above ``2**exponent``.

        Raises
        ------
        ValueError
            If no size is left.
        """
        kept = tuple(e for e in self.exponents if e <= exponent)
        if not kept:
            raise ValueError(f"largest: expected at least {min(self.exponents)}, got {exponent}")
        return replace(self, exponents=kept)

    def cases(self) -> Iterator[tuple[str, int, int]]:
        """Yield kind, size and number of levels."""
        for name in self.draws:
            for exponent in self.exponents:
                limit = most(name)
                if limit is None or 1 << exponent <= limit:
                    for s in self.counts:
                        yield name, 1 << exponent, s


def measure(name: str, m: int, s: int, seconds: float) -> list[Record]:
    """Return one record a solver: times of every round, cost, bound and vNMSE.

    Time is that of the thread on its core, so that other work on the machine counts little. A round sorts the shuffled
    values once, as the unit of time, and calls each solver once; a solver is left out of later rounds when it has had
    its ``seconds``, but for the first `LEAST_ROUNDS`.
    """
    w = draw(name, m)
    ordered = np.sort(w)
    norm = float(w @ w)
    found = [solver.solve(ordered if solver.ordered else w, s) for solver in SOLVERS]  # compiles; meets cold caches
    sorts: list[float] = []
    times: list[list[float]] = [[] for _ in SOLVERS]
    for round_ in range(ROUNDS):
        sorts.append(_seconds(lambda: np.sort(w)))
        for solver, spent in zip(SOLVERS, times, strict=True):
            if round_ < LEAST_ROUNDS or sum(spent) < seconds:
                x = ordered if solver.ordered else w
                spent.append(_seconds(lambda solver=solver, x=x: solver.solve(x, s)))  # type: ignore[misc]
    return [
        {
            "values": name,
            "m": m,
            "s": s,
            "solver": solver.name,
            **asdict(solver),
            "cost": result.cost,
            "lower_bound": result.lower_bound,
            "vnmse": levels.vnmse(w, result.levels) if solver.objective != "mse" else result.cost / norm,
            "seconds": spent,
            "sort_seconds": sorts,
        }
        for solver, result, spent in zip(SOLVERS, found, times, strict=True)
    ]


def measure_many(columns: int, m: int) -> Record:
    """Return the record of `levels.solve_many`: all bit widths of many columns, for MSE, by the clock on the wall."""
    x = np.random.default_rng(0).standard_normal((m, columns)).astype(np.float32)
    sizes = [2**b for b in range(1, 9)]
    levels.solve_many(x[:2048, :2], sizes, "mse")  # compiles
    times, core = [], []
    for _ in range(LEAST_ROUNDS):
        begin, busy = time.perf_counter(), time.process_time()
        levels.solve_many(x, sizes, "mse")
        times.append(time.perf_counter() - begin)
        core.append(time.process_time() - busy)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "solver": "solve_many",
        "columns": columns,
        "m": m,
        "cores": cores,
        "seconds": times,
        "core_seconds": core,
    }


def _seconds(call: Callable[[], object]) -> float:
    gc.disable()
    begin = time.thread_time()
    call()
    end = time.thread_time()
    gc.enable()
    return end - begin
