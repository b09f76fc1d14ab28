"""Rounding to the nearest level against plain NumPy."""

import numpy as np
import pytest

from ipaq_index.quantizer import codebook, scalar
from ipaq_index.quantizer.codebook import LevelSets
from ipaq_index.quantizer.lanes import LANES
from tests.compiled import compiled


@pytest.mark.parametrize("seed", range(3))
def test_nearest_level(seed):
    rng = np.random.default_rng(seed)
    bits = np.array([2, 0, 1, 3, 8, 5], dtype=np.uint8)
    levels = np.zeros((len(bits), 256), dtype=np.float32)
    for j, count in enumerate((1 << bits.astype(int)).tolist()):
        levels[j, :count] = np.sort(rng.standard_normal(count))
        levels[j, count:] = levels[j, count - 1]
    tables = codebook.scalar_tables(LevelSets(bits, levels))
    y = rng.standard_normal((len(bits), LANES)).astype(np.float32)
    stretch = rng.uniform(0.5, 2, LANES).astype(np.float32)
    found = []
    for function in (compiled(scalar.round_nearest), scalar.round_nearest):
        symbols, sums = np.empty(y.shape, dtype=np.uint8), np.empty((2, LANES), dtype=np.float32)
        function(y, stretch, tables, symbols, sums)
        found.append((symbols, sums))
    for ours, twin in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, twin)
    symbols, sums = found[0]
    assert (symbols < 1 << bits[:, None].astype(int)).all()
    z = np.take_along_axis(levels, symbols.astype(np.int64), 1)
    best = np.abs(stretch * y - levels.T[:, :, None]).min(0)
    np.testing.assert_allclose(np.abs(stretch * y - z), best, atol=1e-6)
    np.testing.assert_allclose(sums, [(y * z).sum(0), (z * z).sum(0)], rtol=1e-4, atol=1e-5)
