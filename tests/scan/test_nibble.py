"""Tables of nibbles: compiled code equals its twins bit for bit, and these the formulas in doubles."""

import numpy as np
import pytest

from ipaq_index.scan import nibble
from tests.compiled import compiled

compiled_expected, compiled_start, compiled_round = (
    compiled(function) for function in (nibble.add_expected, nibble.start_at_zero, nibble.round_entries)
)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-3, 0.5, 2.0, 30.0, 1e6])
@pytest.mark.parametrize("sign", [-1, 1])
def test_expected_exponentials(size, sign):
    rng = np.random.default_rng(0)
    points = np.empty((5, 6, 16), dtype=np.float32)
    points[:, :3] = np.sort(rng.standard_normal((5, 3, 16)), axis=1)
    points[:, 3:] = rng.dirichlet([1, 2, 1], (5, 16)).transpose(0, 2, 1)
    points[1, :3], points[2, 3:] = points[1, :1], np.array([[0.75], [0], [0.25]])  # equal points, and two
    table = rng.standard_normal((4, 16)).astype(np.float32)
    t, u, weight = 1.5, 0.25, np.float32(sign * size)
    rates = np.float32((t + u) * weight / nibble.POWER), np.float32(u * weight / nibble.POWER)
    for number in range(5):
        twin, expected = table.copy(), table[2].astype(np.float64)
        for result, add in ((table, compiled_expected), (twin, nibble.add_expected)):
            add(result, 2, points, number, weight, rates, np.float32(1 / t))
        np.testing.assert_array_equal(table, twin)
        x, shares = points[number].astype(np.float64).reshape(2, 3, 16)
        above, under = (np.logaddexp.reduce(np.log(np.maximum(shares, 1e-300)) + s * weight * x) for s in (t + u, u))
        # (1 + x / 256)^256 stands for exp(x), which is as good as 0 far out
        np.testing.assert_allclose(table[2], expected + (above - under) / t, rtol=1e-5, atol=max(0.02 * size, 1e-5))


@pytest.mark.parametrize("ratio", [1e-6, 0.3, 0.66, 0.7, 0.99999, 1.0, 1.4, 1.6, 3.0, 1e5])
def test_logarithms_of_ratios(ratio):
    under = np.geomspace(1e-5, 1e5, 1000).astype(np.float32)
    above = (ratio * under).astype(np.float32)
    exact = np.log(above.astype(np.float64) / under)
    np.testing.assert_allclose(nibble.log_ratio(above, under), exact, rtol=3e-7, atol=1e-7)


def test_tables_start_at_zero():
    rng = np.random.default_rng(0)
    for _ in range(20):
        entries = rng.standard_normal((3, 16)).astype(np.float32)
        table, twin = entries.copy(), entries.copy()
        found = compiled_start(table, 1)
        assert found == nibble.start_at_zero(twin, 1) == (entries[1].min(), np.ptp(entries[1]))
        np.testing.assert_array_equal(table, twin)
        np.testing.assert_array_equal(table[[0, 2]], entries[[0, 2]])
        np.testing.assert_array_equal(table[1], entries[1] - entries[1].min())


@pytest.mark.parametrize("u", [0.0, 0.5, 8.0])
def test_rounded_tables_and_what_they_lack(u):
    rng = np.random.default_rng(0)
    table = rng.random((4, 16)).astype(np.float32)
    table[:, 3] = 0
    shares = rng.random((4, 16)).astype(np.float32)
    step, tilt = np.float32(0.01), np.float32(u / nibble.POWER)
    lookups, twin = np.zeros((2, 2, 2, 64), dtype=np.uint8)
    for row in range(4):
        arguments = (table, row, table[row].max(), step, tilt, shares)
        sums = compiled_round(*arguments, lookups)
        assert sums == nibble.round_entries(*arguments, twin)
        entries = table[row].astype(np.float64)
        whole = lookups[row // 2, row % 2].reshape(4, 16).astype(np.int64)
        np.testing.assert_allclose(whole, np.broadcast_to(entries / 0.01, (4, 16)), atol=0.501)
        weights, lacking = shares[row] * np.exp(u * (entries - entries.max())), entries - 0.01 * whole[0]
        np.testing.assert_allclose(sums[0], weights.sum(), rtol=0.1)
        np.testing.assert_allclose(sums[1], weights @ lacking, atol=0.1 * weights @ abs(lacking))
        np.testing.assert_allclose(sums[2], weights @ lacking**2, rtol=0.1)
    np.testing.assert_array_equal(lookups, twin)
