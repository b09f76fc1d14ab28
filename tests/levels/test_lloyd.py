"""Level sets by Lloyd's iteration against the definition and brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipaq_index.levels import kmeans_sets


def naive_error(v, levels):
    return float(np.mean(np.min((v[:, None] - levels[None, :]) ** 2, axis=1)))


def best_error(v, s):
    """The least mean squared error over all ways to cut the sorted values into at most s runs."""
    v = np.sort(v)
    cuts = combinations(range(1, len(v)), min(s, len(v)) - 1)
    return min(sum(((part - part.mean()) ** 2).sum() for part in np.split(v, cut)) / len(v) for cut in cuts)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-3.0, 0.0, 0.5, 1e-9, 2.0, 7.0, 1e3]), min_size=1, max_size=12))
def test_levels_are_sorted_means_with_the_stated_error(values):
    v = np.array(values)
    sets, errors = kmeans_sets(v)
    assert len(sets) == len(errors) == 9
    for b, levels in enumerate(sets):
        assert 1 <= len(levels) <= 2**b
        assert (np.diff(levels) > 0).all()
        assert errors[b] == pytest.approx(naive_error(v, levels), abs=1e-9 * max(1, np.abs(v).max() ** 2))
    assert errors[8] == pytest.approx(0, abs=1e-9)


def test_near_the_optimum_on_small_cases():
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(30):
        v = rng.standard_normal(12)
        _, errors = kmeans_sets(v)
        assert errors[1] >= best_error(v, 2) - 1e-12
        ratios += [errors[1] / best_error(v, 2), errors[2] / best_error(v, 4)]
    assert np.median(ratios) < 1.05


def test_an_offset_changes_nothing():
    v = np.random.default_rng(1).standard_normal(5000)
    sets, errors = kmeans_sets(v)
    moved, moved_errors = kmeans_sets(v + 1e7)
    np.testing.assert_allclose(moved_errors, errors, rtol=1e-4)
    np.testing.assert_allclose(moved[4] - 1e7, sets[4], atol=1e-3)


def test_known_optimum_of_the_normal_distribution():
    v = np.random.default_rng(2).standard_normal(200_000)
    _, errors = kmeans_sets(v)
    # Max (1960), table I: 2, 4, 8 and 16 levels.
    np.testing.assert_allclose(errors[1:5], [0.3634, 0.1175, 0.03454, 0.009497], rtol=0.03)
