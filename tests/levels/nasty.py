"""Inputs of every nasty kind, drawn by a seed."""

import numpy as np

DRAWS = {
    "plain": lambda rng, n: rng.standard_normal(n),
    "float32": lambda rng, n: rng.standard_normal(n).astype(np.float32),
    "few": lambda rng, n: rng.choice([-1.0, 0.0, 0.5, 2.0], n),
    "steps": lambda rng, n: rng.integers(0, 13, n).astype(float),
    "offset": lambda rng, n: 1e7 + rng.standard_normal(n),
    "huge": lambda rng, n: rng.choice([-1e30, -3e29, 0.0, 1.0, 2.0, 5.0, 7e29, 1e30], n),
    "tiny": lambda rng, n: rng.integers(-50, 51, n) * 1e-30,
    "wide": lambda rng, n: np.sign(rng.standard_normal(n)) * 10 ** rng.uniform(-30, 30, n),
    "clusters": lambda rng, n: rng.choice([-1.0, 0.0, 1000.0], n) + 1e-7 * rng.standard_normal(n),
    "heavy tail": lambda rng, n: rng.pareto(0.5, n),
    "geometric": lambda rng, n: 2.0 ** rng.integers(-40, 40, n),
    "last digits": lambda rng, n: 1 + np.arange(n) * 2.0**-52 * rng.integers(1, 5),
}


def weights(rng, n):
    """Return no weights, uneven ones, mostly zeros, or one that outweighs all others by far."""
    return [
        lambda: None,
        lambda: rng.random(n),
        lambda: rng.choice([0.0, 0.25, 1.0, 3.0, 1e12], n),
        lambda: np.where(np.arange(n) == rng.integers(n), 1e15, 1.0),
        lambda: (rng.random(n) < 0.4).astype(float),
    ][rng.integers(5)]()


def slack(w, lam, objective):
    """Return what rounding the means of MSE to floats may cost: half a unit in the last place, squared, and twice."""
    total = len(w) if lam is None else lam.sum()
    return 4 * total * float(np.spacing(np.abs(w).max())) ** 2 if objective == "mse" else 0.0
