"""Values to solve for: the distributions of the paper's kind of experiment, and real columns."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eval.datasets.glove import glove

Floats = npt.NDArray[np.float64]


def truncated_normal(rng: np.random.Generator, m: int) -> Floats:
    """Return standard normal values within [-1, 1], drawn again until they are."""
    kept = np.empty(0)
    while len(kept) < m:
        drawn = rng.standard_normal(2 * m)
        kept = np.concatenate([kept, drawn[np.abs(drawn) <= 1]])
    return kept[:m]


DRAWS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, m: rng.standard_normal(m),
    "lognormal": lambda rng, m: rng.lognormal(0, 1, m),
    "exponential": lambda rng, m: rng.exponential(1, m),
    "truncated normal": truncated_normal,
    "Weibull(1.5)": lambda rng, m: rng.weibull(1.5, m),
    "Pareto(1.5)": lambda rng, m: rng.pareto(1.5, m),
    # Column 0 is plain, 30 is the one with the largest mean, heavy on one side: both of float32 values.
    "GloVe 0": lambda rng, m: glove_column(rng, m, 0),
    "GloVe 30": lambda rng, m: glove_column(rng, m, 30),
}


def glove_column(rng: np.random.Generator, m: int, column: int) -> Floats:
    """Return ``m`` values of a column of the GloVe vectors, in random order.

    Raises
    ------
    ValueError
        If there are fewer; `most` says how many there are.
    """
    table = glove()
    if m > len(table):
        raise ValueError(f"m: expected at most {len(table)} values of GloVe, got {m}")
    return np.asarray(table[rng.permutation(len(table))[:m], column], dtype=np.float64)


def most(name: str) -> int | None:
    """Return how many values there are of a kind, None without end."""
    return 400_000 if name.startswith("GloVe") else None


def draw(name: str, m: int, seed: int = 0) -> Floats:
    """Return (m,) values in random order; the same name, size and seed give the same."""
    return DRAWS[name](np.random.default_rng([seed, m, list(DRAWS).index(name)]), m)
