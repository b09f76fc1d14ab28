"""Standard deviations of scores keep their word, flat, partitioned and filtered, for queries that no one has seen."""

import numpy as np
import pytest

import ipaq_index as iq
from tests import brute_force

D, N, LISTS = 16, 1500, 8


@pytest.fixture(scope="module")
def vectors():
    both = brute_force.clustered(N + 60, D, seed=7) + 0.5
    return both[N:], both[:N]


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("nlist", [None, LISTS])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_two_thirds_lie_within_one_and_most_within_two(vectors, metric, nlist, rounding):
    q, x = vectors
    index = iq.Index(D, bits=3, metric=metric, nlist=nlist, rounding=rounding, states=8).build(x)
    for allowed in (None, np.arange(0, N, 3), np.arange(0, N, 30)):  # the last is scored without a scan
        count = N if allowed is None else len(allowed)
        scores, ids, std = index.search(q, count, nprobe=LISTS, filter=allowed, return_std=True)
        true = np.abs(brute_force.scores(x, q, metric)) if metric == "l2" else brute_force.scores(x, q, metric)
        z = (scores - np.take_along_axis(true, ids, 1)) / std
        wide = 1 if count > 100 else 2  # the errors of 50 vectors are few
        assert abs(np.mean(np.abs(z) < 1) - 0.683) < 0.05 * wide
        assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 0.025 * wide


@pytest.mark.parametrize("nlist", [None, LISTS])
def test_bars_of_the_nearest(vectors, nlist):
    """A near vector's squared distance is off by little: its bar must say so."""
    q, x = vectors
    index = iq.Index(D, bits=3, metric="l2", nlist=nlist, states=8).build(x)
    scores, ids, std = index.search(q, 10, nprobe=LISTS, return_std=True)
    z = (scores - np.take_along_axis(-brute_force.scores(x, q, "l2"), ids, 1)) / std
    assert abs(np.mean(np.abs(z) < 1) - 0.683) < 0.1
    assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 0.06
    far = index.search(q, N, nprobe=LISTS, return_std=True)[2][:, -10:]
    assert far.mean() > 1.5 * std.mean()


@pytest.mark.parametrize("nlist", [None, LISTS])
def test_no_neighbour_has_no_error(vectors, nlist):
    q, x = vectors
    index = iq.Index(D, bits=3, metric="l2", nlist=nlist, states=8).build(x)
    _, ids, std = index.search(q, 4, filter=[5, 9], return_std=True)
    assert ((std == 0) == (ids < 0)).all()
