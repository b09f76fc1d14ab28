"""Standard deviations of scores keep their word on queries that training has not seen."""

import numpy as np
import pytest

import ipaq_index as iq
from tests import brute_force


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("bits", [2, 4])
def test_true_scores_lie_within_the_bars_as_often_as_they_should(rounding, bits):
    both = brute_force.clustered(3100, 24, seed=0)
    q, x = both[:100], both[100:]
    index = iq.Index(24, bits=bits, rounding=rounding).build(x)
    scores, ids, std = index.search(q, len(x), return_std=True)
    true = np.take_along_axis(q.astype(np.float64) @ x.T.astype(np.float64), ids, 1)
    z = (scores - true) / std
    assert abs(np.mean(np.abs(z) < 1) - 0.683) < 0.05
    assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 0.025
    assert abs(z.std() - 1) < 0.1


def test_bars_of_squared_distances():
    both = brute_force.clustered(2100, 24, seed=3)
    q, x = both[:100], both[100:]
    index = iq.Index(24, bits=2, metric="l2").build(x)
    scores, ids, std = index.search(q, len(x), return_std=True)
    true = np.take_along_axis(((q[:, None].astype(np.float64) - x[None]) ** 2).sum(2), ids, 1)
    z = (scores - true) / std
    assert abs(z.mean()) < 0.1
    assert abs(np.mean(np.abs(z) < 1) - 0.683) < 0.08
    assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 0.04
