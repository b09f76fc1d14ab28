"""Rounding: unbiased, of the stated variance, reproducible; costs by definition."""

import numpy as np
import pytest

from ipaq_index import levels
from tests import naive
from tests.levels import nasty


def test_stochastic_rounding_has_the_stated_mean_and_variance():
    rng = np.random.default_rng(0)
    w = rng.standard_normal(40)
    found = levels.solve(w, 6).levels
    draws = np.array([levels.round_stochastic(w, found, seed) for seed in range(4000)])
    above = np.clip(np.searchsorted(found, w), 1, len(found) - 1)
    variance = (found[above] - w) * (w - found[above - 1])
    # Six standard errors of the mean; the variance of a two-valued draw is known to a few percent from 4,000.
    assert (np.abs(draws.mean(0) - w) <= 6 * np.sqrt(variance / len(draws)) + 1e-12).all()
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.25, atol=1e-12)
    assert draws.var(0).sum() == pytest.approx(levels.cost(w, found), rel=0.05)
    assert levels.vnmse(w, found) == pytest.approx(levels.cost(w, found) / (w @ w))


def test_seeds_repeat_and_indices_agree():
    w = np.random.default_rng(1).standard_normal(1000)
    found = levels.solve(w, 9).levels
    once = levels.round_stochastic(w, found, 7)
    np.testing.assert_array_equal(once, levels.round_stochastic(w, found, np.random.default_rng(7)))
    np.testing.assert_array_equal(once, found[levels.round_stochastic(w, found, 7, return_index=True)])
    assert (once != levels.round_stochastic(w, found, 8)).any()
    assert np.isin(once, found).all()
    index = levels.round_nearest(w, found, return_index=True)
    np.testing.assert_array_equal(index, np.abs(w[:, None] - found).argmin(1))
    np.testing.assert_array_equal(levels.round_nearest(w, found), found[index])


def test_levels_themselves_ties_and_the_largest_floats():
    np.testing.assert_array_equal(levels.round_stochastic([1.0, 3.0, 1.0], [1.0, 3.0], 0), [1.0, 3.0, 1.0])
    np.testing.assert_array_equal(levels.round_stochastic([2.0, 2.0], [2.0], 0), [2.0, 2.0])
    np.testing.assert_array_equal(levels.round_nearest([2.0], [1.0, 3.0]), [1.0])
    np.testing.assert_array_equal(levels.round_nearest([2.0, 9.0, -9.0], [2.0]), [2.0, 2.0, 2.0])
    huge = np.finfo(float).max
    assert set(levels.round_stochastic(np.zeros(100), [-huge, huge], 0)) == {-huge, huge}
    assert levels.vnmse([0.0, 0.0], [0.0]) == 0.0


@pytest.mark.parametrize("draw", [name for name in nasty.DRAWS if name not in ("huge", "wide")])
def test_costs_are_those_of_the_definition(draw):
    rng = np.random.default_rng(2)
    for _ in range(10):
        w = nasty.DRAWS[draw](rng, 12)
        lam = nasty.weights(rng, 12)
        found = np.unique(np.concatenate([[w.min(), w.max()], rng.choice(w, 3)])).astype(float)
        for objective in ("adv", "mse"):
            expected = float(naive.cost(w, found, objective, lam))
            got = levels.cost(w, rng.permutation(found), objective, lam)
            assert got == pytest.approx(expected, rel=1e-9, abs=nasty.slack(w, lam, "mse"))
        above = np.clip(np.searchsorted(found, w), 1, max(1, len(found) - 1))
        if len(found) > 1:
            each = (found[above] - w) * (w - found[above - 1]) * (1 if lam is None else lam)
            assert levels.cost(w, found, "mdv", lam) == each.max()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: levels.round_stochastic([9.0], [1.0, 3.0], 0), ValueError, "levels: expected to reach"),
        (lambda: levels.round_stochastic([2.0], [3.0, 1.0], 0), ValueError, "levels: expected ascending"),
        (lambda: levels.round_stochastic([2.0], [1.0, 3.0], "seed"), TypeError, "rng: expected a numpy Generator"),
        (lambda: levels.round_stochastic([2.0], [1.0, 3.0], -1), ValueError, "rng: expected a seed of at least 0"),
        (lambda: levels.round_nearest([np.nan], [1.0, 3.0]), ValueError, "w: expected finite"),
        (lambda: levels.round_nearest([1.0], []), ValueError, "levels: expected a non-empty"),
        (lambda: levels.round_nearest([1.0], [np.inf]), ValueError, "levels: expected finite"),
        (lambda: levels.cost([1.0, 2.0], [1.0]), ValueError, "levels: expected to reach"),
        (lambda: levels.cost([1.0, 2.0], [1.0, 2.0], "asq", [1.0, 1.0]), ValueError, "weights: expected None"),
        (lambda: levels.cost([1.0, 2.0], [1.0, 2.0], "adv", [1.0]), ValueError, "weights: expected as many"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
