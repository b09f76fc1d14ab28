"""`levels.solve` against exact rational dynamic programming, and its contract."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipaq_index import levels
from tests import naive

PROFILE = settings(derandomize=True, max_examples=400, deadline=None)

# Magnitudes, ties, offsets and gaps: every kind of nastiness, mixed within one input too.
KINDS = {
    "plain": st.floats(-4, 4, width=32),
    "few": st.sampled_from([-1.0, 0.0, 0.5, 2.0]),
    "equal steps": st.integers(0, 12).map(float),
    "offset": st.floats(-3, 3, width=32).map(lambda v: 1e7 + v),
    "huge": st.sampled_from([-1e30, -3e29, 0.0, 1.0, 2.0, 5.0, 7e29, 1e30]),
    "tiny": st.integers(-50, 50).map(lambda v: v * 1e-30),
    "wide": st.floats(-30, 30).map(lambda e: np.copysign(10 ** abs(e), e)),
    "beyond squares": st.sampled_from([-1e200, 1e199, 0.0, 3e199, 1e200]),
}
WEIGHTS = st.sampled_from([0.0, 0.25, 1.0, 1.0, 3.0, 1e12])


@st.composite
def problems(draw, most=11):
    kind = draw(st.sampled_from(sorted(KINDS)))
    w = draw(st.lists(KINDS[kind], min_size=1, max_size=most))
    weights = draw(st.none() | st.lists(WEIGHTS, min_size=len(w), max_size=len(w)))
    return np.array(w), None if weights is None else np.array(weights), draw(st.integers(1, most + 1))


def check(result, w, s):
    assert 1 <= len(result.levels) <= s
    assert (np.diff(result.levels) > 0).all()
    if result.objective != "mse":
        assert result.levels[0] == w.min() and result.levels[-1] == w.max()
    assert result.lower_bound <= result.cost


@PROFILE
@given(problems(), st.sampled_from(["adv", "mse"]))
def test_exact_equals_dynamic_programming(problem, objective):
    w, weights, s = problem
    if objective == "adv" and s == 1 and len(set(w)) > 1:
        with pytest.raises(ValueError, match="at least 2 levels"):
            levels.solve(w, s, objective, weights)
        return
    result = levels.solve(w, s, objective, weights)
    check(result, w, s)
    # Costs beyond the largest float cannot be stated; the levels are right all the same.
    unit = 2.0**600 if np.abs(w).max() > 1e150 else 1.0
    reached = naive.cost(w / unit, result.levels / unit, objective, weights)
    least = naive.least_cost(w / unit, s, objective, weights)
    # Means are rounded to floats, which costs up to half a unit in the last place, squared.
    slack = 4 * (len(w) if weights is None else weights.sum()) * np.spacing(np.abs(w / unit).max()) ** 2
    if unit == 1.0:
        assert result.cost == pytest.approx(float(reached), rel=1e-9, abs=slack if objective == "mse" else 0)
    if objective == "mse":
        assert reached <= float(least) * (1 + 1e-9) + slack
    else:
        assert float(least) * (1 - 1e-15) <= reached <= float(least) * (1 + 1e-9)


@PROFILE
@given(problems())
def test_exact_mdv_equals_bisection(problem):
    w, weights, s = problem
    if np.abs(w).max() > 1e150 or (s == 1 and len(set(w)) > 1):
        return
    result = levels.solve(w, s, "mdv", weights)
    check(result, w, s)
    assert result.cost == pytest.approx(levels.cost(w, result.levels, "mdv", weights), rel=1e-9, abs=0)
    exact = naive.least_mdv(w, s, weights)
    # Levels are rounded to floats; that moves v by up to the gap times half a unit in the last place.
    most = 1.0 if weights is None else weights.max()
    assert result.cost <= exact * (1 + 1e-9) + most * np.ptp(w) * np.spacing(np.abs(w).max())


@pytest.mark.parametrize("objective", ["adv", "mdv", "mse"])
@pytest.mark.parametrize("method", ["exact", "auto", "grid"])
def test_edges(objective, method):
    def solve(w, s, **more):
        return levels.solve(w, s, objective, method=method, **more)

    for constant in ([3.5], [3.5] * 9, np.full(5, np.float32(0.1))):
        for s in (1, 2, 300):
            result = solve(constant, s)
            assert result.levels.tolist() == [float(constant[0])] and result.cost == 0
    result = solve([1, 2, 2, 7], 5)
    assert result.levels.tolist() == [1, 2, 7] and result.cost == 0 and result.excess_bound == 0
    two = solve([0, 1, 2, 9], 2)
    assert len(two.levels) == 2
    heavy = solve(np.arange(20.0), 4, weights=np.where(np.arange(20) == 13, 1e15, 1.0))
    assert np.abs(heavy.levels - 13).min() < 1e-6
    nothing = solve(np.arange(20.0), 4, weights=np.zeros(20))
    assert nothing.cost == 0
    assert levels.round_nearest(np.arange(20.0), nothing.levels).shape == (20,)


@pytest.mark.parametrize("objective", ["adv", "mdv", "mse"])
def test_offset_scale_and_order_change_nothing(objective):
    rng = np.random.default_rng(0)
    w = np.round(rng.standard_normal(3000) * 2**20) / 2**20
    base = levels.solve(w, 16, objective)
    moved = levels.solve(w + 2.0**23, 16, objective)
    assert moved.cost == pytest.approx(base.cost, rel=1e-7)
    for scale in (2.0**100, 2.0**-100, 2.0**-400):
        scaled = levels.solve(w * scale, 16, objective)
        np.testing.assert_array_equal(scaled.levels, base.levels * scale)
    mixed = levels.solve(rng.permutation(w), 16, objective)
    np.testing.assert_array_equal(mixed.levels, base.levels)
    ordered = levels.solve(np.sort(w), 16, objective, assume_sorted=True)
    np.testing.assert_array_equal(ordered.levels, base.levels)
    f = w.astype(np.float32)
    np.testing.assert_array_equal(
        levels.solve(f, 16, objective).levels, levels.solve(f.astype(np.float64), 16, objective).levels
    )


@pytest.mark.parametrize("objective", ["adv", "mdv", "mse"])
def test_weights_are_repetitions(objective):
    if objective == "mdv":
        return  # a largest value does not count repetitions
    rng = np.random.default_rng(1)
    w = rng.standard_normal(700)
    counts = rng.integers(0, 4, 700)
    counts[[w.argmin(), w.argmax()]] = 1
    weighted = levels.solve(w, 9, objective, counts.astype(float))
    repeated = levels.solve(np.repeat(w, counts), 9, objective)
    assert weighted.cost == pytest.approx(repeated.cost, rel=1e-9)


@pytest.mark.parametrize("draw", ["normal", "lognormal", "pareto", "clusters"])
@pytest.mark.parametrize("objective", ["adv", "mse"])
def test_approximations_hold_their_bounds(draw, objective):
    rng = np.random.default_rng(2)
    w = {
        "normal": rng.standard_normal(30_000),
        "lognormal": rng.lognormal(0, 1, 30_000),
        "pareto": rng.pareto(1.5, 30_000),
        "clusters": np.repeat([0.0, 1.0, 50.0], 10_000) + 1e-3 * rng.standard_normal(30_000),
    }[draw]
    for s in (3, 16, 100):
        exact = levels.solve(w, s, objective)
        vmix = levels.solve(w, s, objective, method="vmix")
        check(vmix, w, s)
        assert vmix.lower_bound <= exact.cost * (1 + 1e-9)
        assert exact.cost <= vmix.cost * (1 + 1e-9) and vmix.cost <= 1.005 * exact.cost
        assert vmix.cost == pytest.approx(levels.cost(w, vmix.levels, objective), rel=1e-9)
        grid = levels.solve(w, s, objective, method="grid")
        check(grid, w, s)
        assert grid.lower_bound <= exact.cost * (1 + 1e-9) and exact.cost <= grid.cost * (1 + 1e-9)
    proven = levels.solve(w, 5, objective, eps=0.02)
    assert proven.excess_bound <= 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"w": [1.0, np.nan], "s": 2}, ValueError, "w: expected finite"),
        ({"w": [1.0, np.inf], "s": 2}, ValueError, "w: expected finite"),
        ({"w": [], "s": 2}, ValueError, "w: expected a non-empty"),
        ({"w": [[1.0, 2.0]], "s": 2}, ValueError, r"w: .* got shape \(1, 2\)"),
        ({"w": ["a", "b"], "s": 2}, TypeError, "w: expected real numbers"),
        ({"w": [1j, 2], "s": 2}, TypeError, "w: expected real numbers"),
        ({"w": [1, 2], "s": 0}, ValueError, "s: expected at least 1"),
        ({"w": [1, 2], "s": 2.0}, TypeError, "s: expected an integer"),
        ({"w": [1, 2], "s": 1}, ValueError, "s: expected at least 2 levels"),
        ({"w": [1, 2], "s": 2, "weights": [1, -1]}, ValueError, "weights: .*negative"),
        ({"w": [1, 2], "s": 2, "weights": [1, np.nan]}, ValueError, "weights: .*NaN"),
        ({"w": [1, 2], "s": 2, "weights": [1, 1, 1]}, ValueError, "weights: expected as many as values, 2, got 3"),
        ({"w": [1, 2], "s": 2, "weights": [1, 1], "objective": "asq"}, ValueError, "weights: expected None"),
        ({"w": [1, 2], "s": 2, "objective": "l1"}, ValueError, "objective: expected one of"),
        ({"w": [1, 2], "s": 2, "method": "best"}, ValueError, "method: expected one of"),
        ({"w": [1, 2], "s": 2, "objective": "mdv", "method": "vmix"}, ValueError, "method: expected 'exact'"),
        ({"w": [1, 2], "s": 2, "eps": 0.0}, ValueError, "eps: expected a positive number"),
        ({"w": [1, 2], "s": 2, "eps": "small"}, TypeError, "eps: expected a positive number, got str"),
        ({"w": np.ma.masked_array([1.0, 2, 3], [0, 1, 0]), "s": 2}, ValueError, "w: expected plain values"),
        ({"w": [1, 2, np.nan], "s": 2, "assume_sorted": True}, ValueError, "w: expected finite"),
        ({"w": [1, 2, np.inf], "s": 2, "assume_sorted": True}, ValueError, "w: expected finite"),
        ({"w": [2, 1], "s": 2, "assume_sorted": True}, ValueError, "w: expected ascending"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        levels.solve(**arguments)
