"""How far scales reach beyond those of the sample."""

import numpy as np
import pytest

from ipaq_index.quantizer import scale


@pytest.mark.parametrize("power", [0.1, 0.3, 1.0])
def test_tail_of_a_power_law(power):
    found = [scale.tail(np.random.default_rng(seed).pareto(1 / power, 4_000) + 1) for seed in range(50)]
    assert np.mean(found) == pytest.approx(power, rel=0.1)
    assert np.std(found) == pytest.approx(power / np.sqrt(scale.TAIL), rel=0.35)  # of so many exponential variables


def test_tail_of_few_and_equal_values():
    assert scale.tail(np.ones(100)) == 0
    assert scale.tail(np.array([1.0, 5.0, 2.0])) == 0
    assert scale.tail(np.array([1.0, np.e, 1.0, 1.0])) == pytest.approx(1)  # one of four tells it


@pytest.mark.parametrize("side_bits", [8, 16])
def test_scales_reach_as_far_as_the_tail(side_bits):
    heavy = np.random.default_rng(0).pareto(3, 4_000) + 1
    least, most = scale.scale_range(scale.fitted_format(heavy, side_bits, 0), side_bits // 8)
    assert least <= heavy.min()
    assert most >= 0.99 * heavy.max() * 256 ** scale.tail(heavy)
    later = np.random.default_rng(1).pareto(3, 256 * 4_000) + 1
    assert (later > most).sum() <= 5
    even = np.linspace(1, 2, 4_000)  # no tail: a quarter of the logarithmic range, and no more than rounding beyond
    most = scale.scale_range(scale.fitted_format(even, side_bits, 0), side_bits // 8)[1]
    assert most == pytest.approx(2**1.25, rel=0.02)
