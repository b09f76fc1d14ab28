"""What level sets cost: average and maximum directional variance over distributions, weights and sizes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eval.paper.sets import SETS, Floats, find
from ipaq_index import levels

Record = dict[str, Any]
Draw = Callable[[np.random.Generator, int], Floats]

DISTRIBUTIONS: dict[str, Draw] = {
    "uniform": lambda rng, m: rng.random(m),
    "normal": lambda rng, m: rng.standard_normal(m),
    "Laplace": lambda rng, m: rng.laplace(size=m),
    "exponential": lambda rng, m: rng.exponential(size=m),
    "log-normal σ=1": lambda rng, m: rng.lognormal(0, 1, m),
    "log-normal σ=3": lambda rng, m: rng.lognormal(0, 3, m),
    "Pareto 1.5": lambda rng, m: rng.pareto(1.5, m),
    "two clusters": lambda rng, m: rng.normal(0, 0.1, m) + rng.integers(0, 2, m),
    "nine in ten zero": lambda rng, m: rng.standard_normal(m) * (rng.random(m) < 0.1),
}
WEIGHTS: dict[str, Callable[[np.random.Generator, Floats], Floats]] = {
    "equal": lambda rng, w: np.ones(len(w)),
    "exponential": lambda rng, w: rng.exponential(size=len(w)),  # some coordinates matter to queries, others do not
    "like the values": lambda rng, w: w * w,  # queries are large where vectors are
}
SIMULATED = (1024, 16)  # m, s for which the variance is also observed
DRAWS = 128


def run(sizes: list[int], counts: list[int], seeds: int) -> Iterator[Record]:
    """Yield one record a distribution, weighting, size, number of levels, seed and level set.

    Parameters
    ----------
    sizes : list of int
        Numbers of values m: the dimension, where each vector has a level set of its own.
    counts : list of int
        Numbers of levels s.
    seeds : int
        Draws of the values.
    """
    for number, (distribution, draw) in enumerate(DISTRIBUTIONS.items()):
        for m in sizes:
            for seed in range(seeds):
                rng = np.random.default_rng([number, m, seed])
                w = draw(rng, m)
                for weighting, weigh in WEIGHTS.items():
                    lam = weigh(rng, w)
                    for s in counts:
                        if s < m:
                            setting = {"distribution": distribution, "weights": weighting, "m": m, "s": s, "seed": seed}
                            yield from (setting | record for record in compare(w, lam, s, rng))


def compare(w: Floats, lam: Floats, s: int, rng: np.random.Generator) -> Iterator[Record]:
    """Yield each level set's costs: ``adv`` (Σ λ v) and ``mdv`` (max v), and for one size the variance observed."""
    for name in SETS:
        found = find(name, w, s, lam)
        record = {
            "set": name,
            "adv": levels.cost(w, found, "adv", weights=lam),
            "mdv": levels.cost(w, found, "mdv"),
        }
        if (len(w), s) == SIMULATED:
            record["observed"] = observed(w, found, lam, rng)
        yield record


def observed(w: Floats, found: Floats, lam: Floats, rng: np.random.Generator) -> float:
    """Return the mean of ``<x, ŵ - w>²`` over queries of ``E[x_i²] = λ_i`` and over roundings ŵ.

    That this is the ADV cost is what the theory says.
    """
    queries = rng.choice((-1.0, 1.0), (DRAWS, len(w))) * np.sqrt(lam)
    errors = np.stack([levels.round_stochastic(w, found, rng) - w for _ in range(DRAWS)])
    return float(np.mean((queries @ errors.T) ** 2))
