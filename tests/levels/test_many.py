"""`levels.solve_many` against `levels.solve` and known optima."""

import numpy as np
import pytest

from ipaq_index import levels

SIZES = [2, 4, 8, 16, 32, 64, 128, 256]


@pytest.mark.parametrize("objective", ["adv", "mse", "mdv"])
def test_table_equals_single_solutions(objective):
    x = np.random.default_rng(0).standard_normal((900, 3))
    x[:, 1] = np.round(x[:, 1] * 4)
    x[:, 2] = 5
    table = levels.solve_many(x, SIZES, objective, method="exact", threads=2)
    assert table.sizes.tolist() == SIZES and table.costs.shape == (3, 8)
    for j in range(3):
        for i, s in enumerate(SIZES):
            one = levels.solve(x[:, j], s, objective)
            np.testing.assert_array_equal(table.sets[j][i].levels, one.levels)
            assert table.costs[j, i] == one.cost
    rows = levels.solve_many(x.T, SIZES, objective, method="exact", axis=1, threads=1)
    np.testing.assert_array_equal(rows.costs, table.costs)


@pytest.mark.parametrize("objective", ["adv", "mse"])
def test_shared_coreset_is_as_good(objective):
    x = np.random.default_rng(1).lognormal(size=(40_000, 2)).astype(np.float32)
    table = levels.solve_many(x, SIZES, objective)
    exact = levels.solve_many(x, [4, 64, 256], objective, method="exact")
    assert (table.costs[:, [1, 5, 7]] <= 1.005 * exact.costs).all()
    assert (table.costs[:, [1, 5, 7]] >= (1 - 1e-9) * exact.costs).all()
    for column, row in zip(x.T, table.sets, strict=True):
        for one in row:
            assert one.cost == pytest.approx(levels.cost(column, one.levels, objective))


def test_known_optimum_of_the_normal_distribution():
    v = np.random.default_rng(2).standard_normal((200_000, 1))
    errors = levels.solve_many(v, [1, *SIZES], "mse").costs[0] / len(v)
    # Max (1960), table I: 2, 4, 8, 16 and 32 levels.
    np.testing.assert_allclose(errors[:6], [1, 0.3634, 0.1175, 0.03454, 0.009497, 0.002499], rtol=0.02)


def test_weights_shared_or_own():
    rng = np.random.default_rng(3)
    x, weights = rng.standard_normal((300, 2)), rng.random((300, 2))
    own = levels.solve_many(x, 7, "adv", weights, method="exact")
    for j in range(2):
        assert own.costs[j, 0] == levels.solve(x[:, j], 7, "adv", weights[:, j]).cost
    shared = levels.solve_many(x, 7, "adv", weights[:, 0], method="exact")
    assert shared.costs[1, 0] == levels.solve(x[:, 1], 7, "adv", weights[:, 0]).cost


def test_no_bits_are_cheaper_than_more_bits():
    x = np.random.default_rng(4).standard_normal((20_000, 2))
    costs = levels.solve_many(x, [1, *SIZES], "mse").costs
    assert (np.diff(costs, 2) > 0).all()  # convex in the bits, as allocation wants


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [1.0, 2.0], "s": 2}, "x: expected a non-empty matrix"),
        ({"x": [[1.0]], "s": []}, "s: expected at least one size"),
        ({"x": [[1.0]], "s": 2, "threads": 0}, "threads: expected at least 1 thread, got 0"),
        ({"x": [[1.0]], "s": 2, "axis": 2}, "axis: expected 0 or 1"),
        ({"x": [[1.0]], "s": 2, "objective": "mdv", "method": "vmix"}, "method: expected one of"),
        ({"x": [[1.0], [2.0]], "s": 2, "weights": [1.0]}, "weights: expected as many as values, 2, got 1"),
        ({"x": [[1.0], [2.0]], "s": 2, "weights": [[1.0, 2.0]]}, "weights: expected the shape of x"),
        ({"x": [[1.0], [np.nan]], "s": 2}, "x, column 0: expected finite"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        levels.solve_many(**arguments)
