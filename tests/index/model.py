"""What an index should do, as a dictionary: ids in the order of adding, each with its decoded vector."""

import numpy as np


class Model:
    """A plain index over vectors that are what they are.

    Parameters
    ----------
    metric : str
        "ip", "cosine" or "l2".
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.vectors: dict[int, np.ndarray] = {}
        self.excess: dict[int, float] = {}
        self.next_id = 0

    def add(self, ids: np.ndarray, vectors: np.ndarray, raw: np.ndarray | None = None) -> None:
        """Hold more vectors, or others for ids that it has.

        With ``raw`` vectors, a squared distance is that to the decoded vector less that between decoded and raw one:
        what the errors of the codes add on average does not count (see `_bias` in the index).
        """
        for n, i in enumerate(ids):
            self.vectors[int(i)] = vectors[n].astype(np.float64)
            self.excess[int(i)] = 0.0 if raw is None else float(((raw[n].astype(np.float64) - vectors[n]) ** 2).sum())
        self.next_id = max(self.next_id, *(int(i) + 1 for i in ids))

    @property
    def ids(self) -> np.ndarray:
        """All ids in the order of adding."""
        return np.array(list(self.vectors), dtype=np.int64)

    def scores(self, q: np.ndarray) -> dict[int, float]:
        """Return the score of every vector for one query: larger is better, distances negated."""
        q = q.astype(np.float64)
        if self.metric == "cosine" and np.linalg.norm(q):
            q = q / np.linalg.norm(q)
        if self.metric == "l2":
            return {i: min(0.0, self.excess[i] - float(((q - v) ** 2).sum())) for i, v in self.vectors.items()}
        return {i: float(q @ v) for i, v in self.vectors.items()}


def check_top(
    scores: np.ndarray, ids: np.ndarray, expected: dict[int, float], k: int, tolerance: float, sign: int = 1
) -> None:
    """Check one query's answer against the scores of all vectors that may be found, up to a tolerance.

    Ties, and scores that differ by less than the tolerance, may come in any order.
    """
    assert scores.shape == ids.shape == (k,)
    count = min(k, len(expected))
    found = [int(i) for i in ids[:count]]
    assert len(set(found)) == count
    assert set(found) <= set(expected)
    assert (ids[count:] == -1).all()
    assert (scores[count:] == -sign * np.inf).all()
    assert (np.diff(sign * scores[:count]) <= 0).all()
    np.testing.assert_allclose(sign * scores[:count], [expected[i] for i in found], atol=tolerance)
    left_out = [score for i, score in expected.items() if i not in set(found)]
    if count and left_out:
        assert max(left_out) <= min(expected[i] for i in found) + 2 * tolerance


def check_range(
    scores: np.ndarray, ids: np.ndarray, expected: dict[int, float], threshold: float, tolerance: float
) -> None:
    """Check that all vectors at or above a threshold were found, and no others, up to a tolerance; larger is better."""
    found = {int(i) for i in ids}
    assert len(found) == len(ids)
    assert (np.diff(scores) <= 0).all()
    assert {i for i, score in expected.items() if score > threshold + tolerance} <= found
    assert found <= {i for i, score in expected.items() if score >= threshold - tolerance}
    np.testing.assert_allclose(scores, [expected[int(i)] for i in ids], atol=tolerance)
