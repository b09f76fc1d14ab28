"""Finer vectors: their scores, the best of some candidates, and which candidates are looked at."""

import numpy as np
import pytest

from ipaq_index import Index
from ipaq_index.index.fine_scores import fill_table, make_table, score_four
from ipaq_index.index.finest import finest, score_candidates
from ipaq_index.index.refine import REFINES, FineCodec
from ipaq_index.index.state import describe, restored
from ipaq_index.scan import Lift, score_rows, top_k
from ipaq_index.scan.block import scale
from tests.brute_force import clustered
from tests.compiled import compiled
from tests.scan.test_scan import case

NO_SIDE, NO_FORMAT = np.empty(0, np.uint16), (0, 0, 1)


def vectors(kind, n, d, residual=False, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + np.float32(3)
    codec = FineCodec.fit(kind, x, residual)
    return codec, codec.encode(x)


@pytest.mark.parametrize("kind", REFINES)
@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("d", [1, 7, 16, 17, 50])
def test_scores_are_those_of_decoded_vectors(kind, l2, d):
    codec, stored = vectors(kind, 9, d)
    stored[0], stored[1, 0] = 0, 1  # of halves, nothing and the least there is
    q = np.random.default_rng(1).standard_normal(d).astype(np.float32)
    scores, rows = np.empty(9, np.float32), np.arange(9)
    score_candidates(codec.fine(stored), NO_SIDE, NO_FORMAT, q, rows, l2, scores)
    x = stored.astype(np.float64) * codec.step + codec.low
    expected = -((q - x) ** 2).sum(1) if l2 else x @ q
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * d)
    again = np.empty_like(scores)
    score_candidates(codec.fine(stored), NO_SIDE, NO_FORMAT, q, rows[::-1].copy(), l2, again)
    np.testing.assert_array_equal(again[::-1], scores)


@pytest.mark.parametrize("kind", REFINES)
@pytest.mark.parametrize("l2", [False, True])
@pytest.mark.parametrize("d", [5, 35])
def test_vector_code_adds_up_as_its_twin(kind, l2, d):
    codec, stored = vectors(kind, 6, d)
    fine, q = codec.fine(stored), np.random.default_rng(1).standard_normal(d).astype(np.float32)
    table, twin = compiled(make_table)(d), make_table(d)
    assert compiled(fill_table)(q, fine, l2, table) == fill_table(q, fine, l2, twin)
    np.testing.assert_array_equal(table.factors, twin.factors)
    for first in (0, 4):
        compiled(score_four)(fine.stored, fine.stored.ctypes.data, np.arange(6), first, l2, table)
        score_four(fine.stored, 0, np.arange(6), first, l2, twin)
        np.testing.assert_array_equal(table.out, twin.out)


@pytest.mark.parametrize("candidates", [3, 40, 300])
@pytest.mark.parametrize("residual", [False, True])
def test_the_finest_come_in_order_and_ties_by_row(candidates, residual):
    codec, stored = vectors("sq8", 400, 6, residual)
    stored[::3] = stored[0]
    rng = np.random.default_rng(2)
    q = rng.standard_normal((5, 6)).astype(np.float32)
    rows = np.stack([rng.permutation(400)[:candidates] for _ in q])
    rows[2, 1:] = -1
    best, numbers = np.empty((5, 10), np.float32), np.empty((5, 10), np.int64)
    none = np.empty(0, np.float32)
    fine, coded = codec.fine(stored), rows.astype(np.float32) % 7
    side = (np.arange(400) % 5).astype(np.uint16)
    finest(fine, side, (0, 0, 0x10000000), q, none, False, coded, rows, best, numbers)
    for i in range(5):
        own = np.sort(rows[i][rows[i] >= 0])
        scores = own.astype(np.float32) % 7
        score_candidates(fine, side, (0, 0, 0x10000000), q[i], own, False, scores)
        order = np.argsort(-scores, kind="stable")[:10]
        np.testing.assert_array_equal(numbers[i], np.pad(own[order], (0, 10 - len(order)), constant_values=-1))
        np.testing.assert_array_equal(best[i, : len(order)], scores[order])
        assert np.isneginf(best[i, len(order) :]).all()


@pytest.mark.parametrize("queries", [1, 9])
@pytest.mark.parametrize("height", [0.0, 0.3, 1.0, 100.0])
def test_rows_that_may_be_worth_the_best_scores_are_found(queries, height):
    packed, _, _ = case(1200, [4, 3, 1, 8, 0, 6, 2], states=8)
    p = np.random.default_rng(1).standard_normal((queries, 7)).astype(np.float32)
    exact = score_rows(packed, p, np.arange(1200))
    heights = np.full(queries, height, np.float32)
    scales = np.array([scale(one, packed.codebook.meaning.scale_format) for one in packed.side[:1200]])
    scores, rows = top_k(packed, p, 60, np.zeros(queries, np.float32), lift=Lift(heights, 10))
    for q in range(queries):
        order = np.argsort(-exact[q], kind="stable")[:60]
        wanted = order[exact[q, order] + height * scales[order] >= exact[q, order[9]]]
        assert np.isin(wanted[: 10 if queries == 1 else 60], rows[q]).all()  # look-ups leave out what is unlikely
        held = rows[q][rows[q] >= 0]
        np.testing.assert_array_equal(scores[q, : len(held)], exact[q, held])
        assert (np.diff(scores[q, : len(held)]) <= 0).all()


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("bits", [2, 5])
@pytest.mark.parametrize("nlist", [None, 8])
def test_as_good_as_all_candidates(metric, bits, nlist):
    """Candidates are left out only where it is all but certain that others are finer."""
    x = clustered(1240, 24, seed=4)
    index, plain = (Index(24, metric=metric, bits=bits, refine=refine, nlist=nlist) for refine in ("fp16", None))
    index.build(x[:1200]), plain.build(x[:1200])
    q, probed = x[1200:], {"nprobe": 5} if nlist else {}
    together, candidates = index.search(q, k=10, **probed)[1], plain.search(q, k=40, **probed)[1]
    same = alike = 0
    for i in range(40):
        finer = index.reconstruct(candidates[i])
        scores = -((finer - q[i]) ** 2).sum(1) if metric == "l2" else finer @ q[i]
        expected = candidates[i, np.argsort(-scores, kind="stable")[:10]]
        same += len(np.intersect1d(expected, together[i]))
        alike += len(np.intersect1d(index.search(q[i], k=10, **probed)[1], together[i]))
    assert same >= 0.998 * together.size
    assert alike >= 0.995 * together.size  # look-ups overlook a row now and then; see `fill_lookups`


@pytest.mark.parametrize("kind", REFINES)
def test_files_of_before_keep_vectors_themselves(kind):
    x = clustered(340, 12, seed=5)
    index = Index(12, refine=kind, bits=3).build(x[:300])
    state = describe(index._content)
    del state["arrays"]["residual.low"], state["arrays"]["residual.step"]
    codec = FineCodec.fit(kind, x[:300], False)
    stored = np.zeros_like(state["arrays"]["fine"])
    stored[:300] = codec.encode(x[:300])
    state["arrays"] |= {"fine": stored, "fine.low": codec.low, "fine.step": codec.step}
    index._content = restored(index._config, state)
    assert "residual.low" not in describe(index._content)["arrays"]
    np.testing.assert_array_equal(index.reconstruct(np.arange(300)), codec.decode(stored[:300]))
    scores, ids = index.search(x[300:], k=10, k_factor=30)
    found = np.einsum("ij,ikj->ik", x[300:], codec.decode(stored[:300])[ids])
    np.testing.assert_allclose(scores, found, rtol=1e-4, atol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()
    one = index.search(x[300], k=10, k_factor=30)
    np.testing.assert_array_equal(one[0][0], scores[0])
