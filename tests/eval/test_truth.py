"""Ground truth against the brute-force oracle, and its cache."""

import numpy as np
import pytest

from eval import truth
from eval.datasets import Dataset
from tests import brute_force


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_chunks_agree_with_the_oracle(monkeypatch, metric):
    monkeypatch.setattr(truth, "ROWS", 17)
    x = np.random.default_rng(0).integers(-3, 4, (100, 3)).astype(np.float32)  # small integers: many ties
    q = np.random.default_rng(1).integers(-3, 4, (20, 3)).astype(np.float32)
    for k in (1, 10, 100):
        found = truth.brute_force(x, q, k, metric)
        scores = brute_force.scores(x, q, metric)
        expected = brute_force.top_k(x, q, k, metric)
        np.testing.assert_allclose(
            np.take_along_axis(scores, found, 1), np.take_along_axis(scores, expected, 1), atol=1e-6
        )
        assert all(len(set(row)) == k for row in found)


def test_cache_answers_only_for_its_own_data(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    first = truth.exact(Dataset("a", "ip", x, x[:5]), 3, tmp_path)
    np.testing.assert_array_equal(truth.exact(Dataset("b", "ip", x, x[:5]), 3, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 1
    other = x.copy()
    other[7] = 100 * x[0]
    changed = truth.exact(Dataset("a", "ip", other, x[:5]), 3, tmp_path)
    assert changed[0, 0] == 7
    assert len(list(tmp_path.iterdir())) == 2


def test_recall_counts_shares():
    found, true = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 1, 9], [7, 8, 9]])
    assert truth.recall(found, true, 3) == pytest.approx(2 / 6)
    assert truth.recall(found, true, 1) == 0
    assert truth.recall(true, true, 3) == 1
