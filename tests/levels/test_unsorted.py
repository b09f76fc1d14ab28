"""Approximations without sorting: guarantees hold on heavy tails, levels and costs are true."""

import numpy as np
import pytest

from ipaq_index import levels
from ipaq_index.levels import buckets

M = 40_000
DRAWS = {
    "normal": lambda rng: rng.standard_normal(M),
    "lognormal": lambda rng: rng.lognormal(0, 1, M),
    "wide lognormal": lambda rng: rng.lognormal(0, 3, M),
    "cauchy": lambda rng: rng.standard_cauchy(M),
    "pareto": lambda rng: rng.pareto(1.5, M),
    "wide pareto": lambda rng: rng.pareto(0.5, M),
    "offset": lambda rng: 1e7 + rng.standard_normal(M),
    "clusters": lambda rng: rng.choice([-1.0, 0.0, 1000.0], M) + 1e-4 * rng.standard_normal(M),
    "sparse": lambda rng: np.where(rng.random(M) < 0.9, 0.0, rng.standard_normal(M)),
    "outliers": lambda rng: np.append(rng.standard_normal(M), [-1e30, 1e30]),
    "integers": lambda rng: rng.integers(0, 300, M).astype(float),
}


@pytest.fixture(params=DRAWS)
def values(request):
    return DRAWS[request.param](np.random.default_rng(0))


@pytest.mark.parametrize("s", [2, 5, 64])
def test_mdv_keeps_its_guarantee(values, s):
    exact = levels.solve(values, s, "mdv")
    near = levels.solve(values, s, "mdv", eps=0.01)
    assert near.cost == pytest.approx(levels.cost(values, near.levels, "mdv"), rel=1e-12)
    assert near.cost <= 1.01 * exact.cost
    assert near.lower_bound <= exact.cost * (1 + 1e-9) and near.excess_bound <= 0.01 + 1e-12
    assert len(near.levels) <= s and (np.diff(near.levels) > 0).all()
    assert near.levels[0] == values.min() and near.levels[-1] == values.max()


@pytest.mark.parametrize("objective", ["adv", "mse"])
@pytest.mark.parametrize("s", [2, 5, 64])
def test_sums_are_near_the_optimum(values, s, objective):
    exact = levels.solve(values, s, objective)
    near = levels.solve(values, s, objective, method="vmix")
    assert near.cost == pytest.approx(levels.cost(values, near.levels, objective), rel=1e-6, abs=1e-9 * exact.cost)
    assert exact.cost * (1 - 1e-6) <= near.cost <= 1.005 * exact.cost
    assert near.lower_bound <= exact.cost * (1 + 1e-6)
    assert len(near.levels) <= s and (np.diff(near.levels) > 0).all()
    if objective == "adv":
        assert near.levels[0] == values.min() and near.levels[-1] == values.max()


@pytest.mark.parametrize("objective", ["adv", "mse"])
def test_weights(objective):
    rng = np.random.default_rng(1)
    w, weights = rng.standard_normal(M), rng.exponential(1, M)
    exact = levels.solve(w, 20, objective, weights)
    for method in ("vmix", "grid"):
        near = levels.solve(w, 20, objective, weights, method=method)
        assert near.cost == pytest.approx(levels.cost(w, near.levels, objective, weights), rel=1e-9)
        assert exact.cost * (1 - 1e-9) <= near.cost <= 1.01 * exact.cost


def test_sorted_and_unsorted_input_is_told_apart_by_speed_alone():
    w = np.random.default_rng(2).standard_normal(M)
    a = levels.solve(w, 16, method="vmix")
    b = levels.solve(np.sort(w), 16, method="vmix", assume_sorted=True)
    assert a.cost == pytest.approx(b.cost, rel=2e-3)


@pytest.mark.parametrize("precision", [4, 9])
def test_cells_are_monotone_and_complete(precision):
    w = np.random.default_rng(3).standard_normal(5000)
    cells = buckets.fill(w, np.empty(0), (w.min(), w.max()), precision)
    order = np.argsort(w)
    assert (np.diff(cells.cell[order]) >= 0).all()
    assert (cells.low <= cells.high).all() and (cells.high[:-1] < cells.low[1:]).all()
    assert cells.sums[:, 0].sum() == len(w)
    assert cells.low[0] == w.min() and cells.high[-1] == w.max()
    weighted = buckets.fill(w, np.full(5000, 2.0), (w.min(), w.max()), precision)
    np.testing.assert_allclose(weighted.sums, 2 * cells.sums)
    assert buckets.fill(np.ones(100), np.empty(0), (1.0, 1.0), precision) is None
