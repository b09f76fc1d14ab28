"""Exactness to 1e-9, by the thousand: tables and paths against rational arithmetic, and against each other."""

import numpy as np
import pytest

from ipaq_index import levels
from ipaq_index.levels import bounds, exact, intervals, path, sums
from tests import naive
from tests.levels import nasty


@pytest.mark.parametrize("solver", ["table", "path"])
@pytest.mark.parametrize("draw", nasty.DRAWS)
def test_small_cases_equal_dynamic_programming(draw, solver, monkeypatch):
    if solver == "path":
        if draw in ("huge", "wide"):
            pytest.skip("32 digits do not hold 1e-30 beside 1e30; up to 256 values are solved by table")
        monkeypatch.setattr(exact, "DENSE", 0)
    rng = np.random.default_rng(list(nasty.DRAWS).index(draw))
    for _ in range(150):
        n = int(rng.integers(1, 15))
        s, objective = int(rng.integers(1, n + 2)), ("adv", "mse")[rng.integers(2)]
        w, lam = nasty.DRAWS[draw](rng, n), nasty.weights(rng, n)
        if solver == "path" and draw == "last digits" and lam is not None and lam.max() > 1e9:
            continue  # 1e15 x 2^-104 beside 1: beyond 32 digits too
        if objective == "adv" and s == 1 and len(set(w)) > 1:
            continue
        found = levels.solve(w, s, objective, lam)
        reached = float(naive.cost(w, found.levels, objective, lam))
        least = float(naive.least_cost(w, s, objective, lam))
        assert reached <= least * (1 + 1e-9) + nasty.slack(w, lam, objective), (w, lam, s, objective)
        assert found.cost == pytest.approx(reached, rel=1e-9, abs=nasty.slack(w, lam, objective))


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("draw", nasty.DRAWS)
def test_paths_equal_tables(draw, coarse, monkeypatch):
    rng = np.random.default_rng(list(nasty.DRAWS).index(draw))
    if coarse:  # first a coreset, then all values, or what a certificate leaves of them
        monkeypatch.setattr(exact, "cells_for", lambda k: 4 * k)
    for _ in range(8):
        n = int(rng.integers(257, 400))
        s, objective = int(rng.choice([2, 3, 4, 6, 9, 10, 17, 40, 100, 200])), ("adv", "mse")[rng.integers(2)]
        w, lam = nasty.DRAWS[draw](rng, n), nasty.weights(rng, n)
        found = levels.solve(w, s, objective, lam)
        with monkeypatch.context() as patch:
            patch.setattr(exact, "DENSE", n)
            table = levels.solve(w, s, objective, lam)
        assert found.cost <= table.cost * (1 + 1e-9) + nasty.slack(w, lam, objective), (n, s, objective)
        assert table.cost <= found.cost * (1 + 1e-9) + nasty.slack(w, lam, objective), (n, s, objective)


@pytest.mark.parametrize("kind", [intervals.ADV, intervals.MSE])
def test_kernels_equal_their_python_twins(kind):
    x = np.sort(np.random.default_rng(0).standard_normal(60))
    weights = np.random.default_rng(1).random(60)
    for precise in (False, True):
        nodes = sums.sums_of(x, weights, 4, kind, precise).nodes(np.arange(60))
        fast, slow = path.potentials(nodes, nodes, 0.3, kind), path.potentials.py_func(nodes, nodes, 0.3, kind)
        np.testing.assert_allclose(fast[0], slow[0], rtol=1e-12)
        np.testing.assert_array_equal(fast[1], slow[1])
        first = bounds.first_too_far(nodes, 0.5, kind)
        np.testing.assert_array_equal(first, bounds.first_too_far.py_func(nodes, 0.5, kind))
        cells = np.arange(59)
        np.testing.assert_allclose(
            bounds.moving(nodes, cells, kind), bounds.moving.py_func(nodes, cells, kind), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("objective", ["adv", "mse"])
def test_lower_bounds_hold_and_are_near(objective):
    rng = np.random.default_rng(5)
    for draw in nasty.DRAWS.values():
        w = draw(rng, 3000)
        if np.abs(w).max() > 1e20:
            continue
        for s in (2, 3, 5, 9, 30):
            optimum = levels.solve(w, s, objective).cost
            for method in ("vmix", "grid"):
                near = levels.solve(w, s, objective, method=method)
                assert near.lower_bound <= optimum * (1 + 1e-9) + nasty.slack(w, None, objective)
    ties = np.append(rng.standard_normal(3000), np.full(300, 0.3))  # too few to be merged
    optimum = levels.solve(ties, 20, objective).cost
    for method in ("vmix", "grid"):
        assert levels.solve(ties, 20, objective, method=method).lower_bound <= optimum * (1 + 1e-9)
    smooth = rng.standard_normal(50_000)
    for s, most in ((4, 0.03), (16, 0.05), (64, 0.1)):
        assert levels.solve(smooth, s, objective, method="vmix").excess_bound <= most
