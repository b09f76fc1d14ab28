"""Inverted lists: the flat index's answers when all are probed, in any shape that lists may have."""

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index import scan
from ipaq_index.index import partition
from ipaq_index.index.partition import Partition, auto_nlist
from tests import brute_force

N, D, K, LISTS = 3_000, 12, 10, 24


@pytest.fixture(scope="module")
def x():
    return brute_force.clustered(N + 60, D, seed=4)


@pytest.fixture(scope="module", params=["ip", "cosine", "l2"])
def index(request, x):
    return iq.Index(D, bits=5, metric=request.param, nlist=LISTS, states=8).build(x[:N])


def close(a, b, tolerance=1e-4):
    """Compare answers: equal scores, and equal ids but where scores are equal."""
    np.testing.assert_allclose(a[0], b[0], atol=tolerance)
    differ = a[1] != b[1]
    gaps = np.minimum(np.abs(np.diff(a[0], prepend=np.inf)), np.abs(np.diff(a[0], append=-np.inf)))
    assert (gaps[differ] < tolerance).mean() > 0.5 if differ.any() else True
    assert differ.mean() < 0.02


def test_all_lists_probed_give_the_flat_answer_for_the_same_codes(x, index):
    """The codes' vectors, scored one by one in float64, are what a flat search would find."""
    q = x[N:]
    decoded = index.reconstruct(np.arange(N)).astype(np.float64)
    asked = brute_force.unit(q) if index.metric == "cosine" else q
    scores, ids = index.search(q, K, nprobe=LISTS)
    if index.metric == "l2":
        excess = ((x[:N] - decoded) ** 2).sum(1)
        expected = ((asked[:, None, :] - decoded[None, :, :]) ** 2).sum(-1) - excess
        order = np.argsort(expected, axis=1, kind="stable")[:, :K]
        expected = np.maximum(expected, 0)
    else:
        expected = asked @ decoded.T
        order = np.argsort(-expected, axis=1, kind="stable")[:, :K]
    close((scores, ids), (np.take_along_axis(expected, order, 1), order), 1e-3)


def test_more_lists_find_more(x, index):
    q = x[N:]
    every = index.search(q, K, nprobe=LISTS)[1]
    recalls = [brute_force.recall(index.search(q, K, nprobe=n)[1], every) for n in (1, 2, 4, 8, LISTS)]
    assert recalls == sorted(recalls)
    assert recalls[0] > 0.3
    assert recalls[-1] == 1
    assert index.search(q, K, nprobe=10 * LISTS)[1].tolist() == every.tolist()


def test_tune_reaches_its_target(x, index):
    queries, q = x[N : N + 30], x[N + 30 :]
    every = index.search(queries, K, nprobe=LISTS)[1]
    with pytest.raises(ValueError, match="nprobe: 'auto' expects that tune"):
        iq.Index(D, nlist=2).build(x[:50]).search(q, nprobe="auto")
    for target in (0.5, 0.9, 1.0):
        found = index.tune(queries, target_recall=target)
        assert index.nprobe == found
        reached = brute_force.recall(index.search(queries, K, nprobe="auto")[1], every)
        assert reached >= target - 1e-9
        if found > 1:
            assert brute_force.recall(index.search(queries, K, nprobe=found - 1)[1], every) < target
    np.testing.assert_array_equal(index.search(q, nprobe="auto")[1], index.search(q)[1])
    assert iq.Index.from_bytes(index.to_bytes()).nprobe == index.nprobe
    index.nprobe = 3
    assert index.nprobe == 3
    with pytest.raises(ValueError, match="target_recall"):
        index.tune(queries, 1.5)
    assert iq.Index(D).build(x[:50]).tune(queries) is None


@pytest.mark.parametrize("n", [5, 33, 64, 200])
def test_tiny_empty_and_uneven_lists(n):
    rng = np.random.default_rng(n)
    x = np.concatenate([rng.standard_normal((n - 1, 4)) * 0.01, [[9, 9, 9, 9]]]).astype(np.float32)
    index = iq.Index(4, bits=6, metric="l2", nlist=5, states=8).build(x)
    assert set(index.search(x[:3], n + 1, nprobe=5)[1][0]) == {*range(n), -1}
    assert index.search(x[-1:], 1, nprobe=5)[1][0, 0] == n - 1
    index.remove(np.arange(n - 1))
    assert index.search(x, 2, nprobe=1)[1][-1].tolist() == [n - 1, -1]
    index.add(x[:40])
    assert len(index) == 1 + min(40, n)


def test_same_vectors_and_fewer_vectors_than_lists():
    same = iq.Index(3, nlist=4, states=8).build(np.full((40, 3), 2.0))
    np.testing.assert_allclose(same.search([1, 1, 1], 40, nprobe=4)[0], 6, rtol=1e-3)
    with pytest.raises(ValueError, match="x: expected at least 9 vectors, one for each of nlist=9 lists, got 8"):
        iq.Index(3, nlist=9).train(np.eye(8, 3))


def test_pieces_threads_and_batches_change_nothing(x):
    q = x[N:]
    whole = iq.Index(D, nlist=LISTS, states=8, threads=1).train(x[:N])
    pieces = iq.Index(D, nlist=LISTS, states=8, threads=2).train(x[:N])
    whole.add(x[:N])
    for first, last in ((0, 1), (1, 40), (40, 41), (41, 1000), (1000, N)):
        pieces.add(x[first:last])
    np.testing.assert_array_equal(whole.reconstruct(whole.ids()), pieces.reconstruct(pieces.ids()))
    close(whole.search(q, K, nprobe=4), pieces.search(q, K, nprobe=4), 1e-6)
    batch = whole.search(q, K, nprobe=4)
    for i in range(0, len(q), 7):
        for one, other in zip(whole.search(q[i], K, nprobe=4), batch, strict=True):
            np.testing.assert_array_equal(one[0], other[i])
    np.testing.assert_array_equal(whole.search(q, K, threads=2), whole.search(q, K, threads=1))


def test_a_filter_widens_the_search(x, index):
    q = x[N:]
    rare = np.arange(0, N, 500)
    ids = index.search(q, 4, filter=rare, nprobe=1)[1]
    assert set(ids.ravel()) <= set(rare)
    assert (ids >= 0).all()
    best = brute_force.top_k(index.reconstruct(rare), q, 1, index.metric)[:, 0]
    assert np.mean(ids[:, 0] == rare[best]) > 0.9
    one = index.search(q, 2, filter=[17], nprobe=1)[1]
    assert (one == [17, -1]).all()
    half = np.zeros(N, dtype=bool)
    half[::2] = True
    every = index.search(q, K, filter=half, nprobe=LISTS)[1]
    assert (every % 2 == 0).all()
    assert brute_force.recall(index.search(q, K, filter=half, nprobe=6)[1], every) > 0.8


def test_info_tells_of_lists(index):
    lists = index.info()["lists"]
    assert lists["nlist"] == LISTS
    assert lists["smallest"] <= lists["median"] <= lists["largest"] <= N
    assert lists["imbalance"] >= 1
    assert iq.Index(D).info()["ntotal"] == 0


def test_auto_nlist():
    assert auto_nlist(19_999) is None
    assert [auto_nlist(n) for n in (20_000, 400_000, 1_000_000)] == [256, 1024, 2048]
    index = iq.Index(4, nlist="auto", states=8)
    assert index.nlist is None
    assert index.build(np.random.default_rng(0).standard_normal((100, 4))).nlist is None


def test_a_graph_over_centroids_finds_what_looking_at_all_finds(x, monkeypatch):
    fitted = Partition.fit(x[:N], 300, False, 0, 1)
    monkeypatch.setattr(partition, "GRAPH_LISTS", 100)
    graph = Partition(fitted.centroids, fitted.weights, fitted.shifts)
    assert np.mean(graph.assign(x, 1) == fitted.assign(x, 1)) > 0.98
    exact, near = fitted.probe(x[N:], 4), graph.probe(x[N:], 4)
    assert brute_force.recall(near.lists, exact.lists) > 0.95
    same = exact.lists == near.lists
    np.testing.assert_array_equal(exact.offsets[same], near.offsets[same])


def test_lists_are_whole_blocks(index):
    content = index._content
    assert content.runs.start.tolist() == (np.cumsum(content.runs.room) - content.runs.room).tolist()
    assert (content.runs.room == -(-content.runs.count // scan.BLOCK)).all()


def test_words_for_nprobe(index, x):
    with pytest.raises(ValueError, match=r"nprobe: expected a number of lists, 'auto' or None, got 'all'"):
        index.search(x[:1], nprobe="all")
