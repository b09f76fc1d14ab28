"""The index as its user meets it, against exact search."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ipaq_index as iq
from tests import brute_force

N, D, K = 2_000, 16, 10


@pytest.fixture(scope="module")
def x():
    return brute_force.clustered(N + 100, D, seed=1)


@pytest.fixture(scope="module")
def index(x):
    return iq.Index(D, bits=4).build(x[:N])


def same_answers(a, b, q, k=K):
    for one, other in zip(a.search(q, k), b.search(q, k), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_finds_the_neighbours(x, metric):
    q = x[N:]
    scores, ids = iq.Index(D, bits=6, metric=metric).build(x[:N]).search(q, K)
    assert scores.dtype == np.float32
    assert ids.dtype == np.int64
    assert scores.shape == ids.shape == (100, K)
    assert brute_force.recall(ids, brute_force.top_k(x[:N], q, K, metric)) > 0.9
    exact = np.take_along_axis(brute_force.scores(x[:N], q, metric), ids, 1)
    better_first = scores if metric != "l2" else -scores
    assert (np.diff(better_first, axis=1) <= 0).all()
    np.testing.assert_allclose(better_first, exact, atol=0.05 * np.abs(exact).max())


def test_more_bits_find_more(x):
    truth = brute_force.top_k(x[:N], x[N:], K)
    recalls = [brute_force.recall(iq.Index(D, bits=b).build(x[:N]).search(x[N:], K)[1], truth) for b in (1, 2.5, 4, 8)]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[1] < recalls[2]
    assert recalls[-1] > 0.97


def test_properties(index):
    assert (index.dim, index.ntotal, len(index), index.metric) == (D, N, N, "ip")
    assert index.is_trained
    assert index.bytes_per_vector == D // 2 + 2
    assert repr(index) == f"Index(dim={D}, metric='ip', bytes_per_vector={D // 2 + 2}, ntotal={N})"
    assert "not trained" in repr(iq.Index(3))


def test_bytes_are_what_the_file_holds(x, tmp_path):
    for metric in ("ip", "l2"):
        index = iq.Index(D, bits=3, metric=metric).build(x[:64])
        iq.save(index, tmp_path / "small")
        index.add(np.tile(x[:2000], (10, 1)))
        iq.save(index, tmp_path / "large")
        grown = (tmp_path / "large").stat().st_size - (tmp_path / "small").stat().st_size
        assert grown / 20_000 == pytest.approx(index.bytes_per_vector, abs=0.02)


def test_a_byte_budget_is_kept(x):
    index = iq.Index(D, bytes_per_vector=7).build(x[:500])
    assert index.bytes_per_vector == 7
    assert index.search(x[:1], 1)[1].shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dim": 0}, ValueError, "dim: expected at least 1, got 0"),
        ({"dim": 4.0}, TypeError, "dim: expected an integer"),
        ({"dim": 4, "bits": 0}, ValueError, "bits: expected more than 0 and at most 8"),
        ({"dim": 4, "bits": 8.5}, ValueError, "bits: .* got 8.5"),
        ({"dim": 4, "bits": float("nan")}, ValueError, "bits: .* got nan"),
        ({"dim": 4, "bits": "four"}, TypeError, "bits: expected a number, got 'four'"),
        ({"dim": 4, "bits": 4, "bytes_per_vector": 4}, ValueError, "expected one of the two, got both"),
        ({"dim": 4, "bytes_per_vector": 2}, ValueError, "bytes_per_vector: expected 3 to 6 at dim=4"),
        ({"dim": 4, "bytes_per_vector": 7}, ValueError, "bytes_per_vector: expected 3 to 6 at dim=4"),
        ({"dim": 4, "metric": "dot"}, ValueError, "metric: expected one of ip, cosine, l2, got 'dot'"),
        ({"dim": 4, "threads": 0}, ValueError, "threads: expected at least 1, got 0"),
        ({"dim": 4, "seed": -1}, ValueError, "seed: expected at least 0, got -1"),
    ],
)
def test_impossible_parameters_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        iq.Index(**arguments)


def test_before_training(x):
    index = iq.Index(D)
    for call in (lambda: index.search(x[:1]), lambda: index.add(x[:1]), lambda: index.reconstruct([0])):
        with pytest.raises(ValueError, match="expected a trained index"):
            call()
    assert not index.is_trained
    assert len(index) == 0


@pytest.mark.parametrize(
    "bad", [np.zeros((3, D + 1)), np.full((3, D), np.nan), np.zeros((0, D)), np.full((3, D), np.inf)]
)
def test_a_refused_call_changes_nothing(x, bad):
    index = iq.Index(D).build(x[:300])
    before = index.search(x[N:], K)
    for call in (index.add, index.build, index.train, index.search):
        with pytest.raises(ValueError, match="expected"):
            call(bad)
    with pytest.raises(ValueError, match="k: expected at least 1"):
        index.search(x[:1], 0)
    with pytest.raises(ValueError, match="ids: expected ids that the index does not hold yet, got 299"):
        index.add(x[:2], ids=[1000, 299])
    assert len(index) == 300
    np.testing.assert_array_equal(index.search(x[N:], K), before)


def test_an_interrupted_add_leaves_the_index_as_it_was(x, monkeypatch):
    index = iq.Index(D).build(x[:300])
    monkeypatch.setattr("ipaq_index.index.validation.CHUNK_ROWS", 64)
    encode, calls = type(index._content.quantizer).encode, []

    def interrupted(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(self, *arguments, **named)

    whole = iq.Index(D).build(x[:300])
    with monkeypatch.context() as patch:
        patch.setattr(type(index._content.quantizer), "encode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.add(x[300:900])
    assert len(index) == 300
    same_answers(index, whole, x[N:])
    index.add(x[300:400])
    whole.add(x[300:400])
    same_answers(index, whole, x[N:])


def test_pieces_give_the_same_index_as_one_add(x):
    whole = iq.Index(D, bits=3).train(x[:N])
    whole.add(x[:N])
    pieces = iq.Index(D, bits=3).train(x[:N])
    for first, last in ((0, 1), (1, 32), (32, 33), (33, 97), (97, 1000), (1000, N)):
        pieces.add(x[first:last])
    same_answers(whole, pieces, x[N:])
    a, b = whole.__getstate__()["arrays"], pieces.__getstate__()["arrays"]
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_threads_and_batches_change_nothing(x, index):
    q = x[N:]
    one = index.search(q, K, threads=1)
    np.testing.assert_array_equal(index.search(q, K, threads=2), one)
    rows = [index.search(q[i], K) for i in range(len(q))]
    same = [len(np.intersect1d(r[1], ids)) for r, ids in zip(rows, one[1], strict=True)]
    assert sum(same) >= 0.995 * one[1].size  # look-ups overlook a row now and then
    np.testing.assert_array_equal(np.concatenate([r[0] for r in rows]), one[0])
    same_answers(iq.Index(D, threads=1).build(x[:N]), iq.Index(D, threads=2).build(x[:N]), q)


def test_dtype_and_memory_order_change_nothing(x):
    half = x[:600].astype(np.float16)
    built = [
        iq.Index(D).build(table)
        for table in (
            half,
            half.astype(np.float64),
            np.asfortranarray(half),
            half.astype(np.float32).tolist(),
            np.repeat(half, 2, 0)[::2],
        )
    ]
    for other in built[1:]:
        same_answers(built[0], other, x[N:])


@pytest.mark.parametrize(
    ("n", "d", "bits"), [(1, 1, 4), (1, 5, 2), (31, 7, 3), (32, 1, 1), (33, 3, 8), (5, 33, 0.4), (40, 2, 5.5)]
)
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_small_and_odd_sizes(n, d, bits, metric):
    x = np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)
    index = iq.Index(d, bits=bits, metric=metric).build(x)
    scores, ids = index.search(x[:1], n + 3)
    assert set(ids[0, :n]) == set(range(n))
    np.testing.assert_array_equal(ids[0, n:], -1)
    np.testing.assert_array_equal(scores[0, n:], np.inf if metric == "l2" else -np.inf)
    assert np.isfinite(scores[0, :n]).all()
    assert index.reconstruct(np.arange(n)).shape == (n, d)


def test_zero_vectors_and_constant_dimensions():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    x[:, 2], x[:, 4], x[7] = 3.0, 0.0, 0.0
    for metric in ("ip", "cosine", "l2"):
        index = iq.Index(6, bits=6, metric=metric).build(x)
        scores, ids = index.search(x, 5)
        assert np.isfinite(scores).all()
        assert brute_force.recall(ids[:, :1], brute_force.top_k(x, x, 1, metric)) > 0.8
    same = iq.Index(3).build(np.full((50, 3), 2.5))
    scores, ids = same.search([1, 1, 1], 50)
    np.testing.assert_allclose(scores, 7.5, rtol=1e-3)
    np.testing.assert_array_equal(ids[0], np.arange(50))
    nothing = iq.Index(3).build(np.zeros((5, 3)))
    np.testing.assert_array_equal(nothing.search([1, 2, 3], 5)[0], 0)


def test_ids(x):
    ids = np.arange(N)[::-1] * 10 + 3
    named, plain = iq.Index(D).build(x[:N], ids=ids), iq.Index(D).build(x[:N])
    found, rows = named.search(x[N:], K)[1], plain.search(x[N:], K)[1]
    np.testing.assert_array_equal(found, ids[rows])
    named.add(x[N : N + 2])
    np.testing.assert_array_equal(named.reconstruct([ids.max() + 1, ids.max() + 2]).shape, (2, D))
    np.testing.assert_array_equal(named.reconstruct(ids[:3]), plain.reconstruct([0, 1, 2]))


def test_reconstruct(x, index):
    every = index.reconstruct(np.arange(N))
    assert every.dtype == np.float32
    error = ((every - x[:N]) ** 2).sum() / ((x[:N] - x[:N].mean(0)) ** 2).sum()
    assert error < 0.02
    assert index.reconstruct(5).shape == (D,)
    np.testing.assert_array_equal(index.reconstruct([5, 3, 5]), every[[5, 3, 5]])
    with pytest.raises(KeyError, match="ids: not in the index: 2000, -1"):
        index.reconstruct([1, N, -1])


def test_scores_are_inner_products_with_the_reconstruction(x, index):
    q = x[N:]
    scores, ids = index.search(q, K)
    np.testing.assert_allclose(
        scores, np.einsum("qd,qkd->qk", q, index.reconstruct(ids.ravel()).reshape(*ids.shape, D)), atol=2e-4
    )


def test_filter(x, index):
    q = x[N:]
    for allowed in ([5], np.arange(0, N, 3), np.arange(N)):
        mask = np.zeros(N, dtype=bool)
        mask[allowed] = True
        ids = index.search(q, K, filter=allowed)[1]
        np.testing.assert_array_equal(index.search(q, K, filter=mask)[1], ids)
        every = index.search(q, N)
        for row in range(len(q)):
            expected = [i for i in every[1][row] if mask[i]][:K]
            np.testing.assert_array_equal(ids[row], expected + [-1] * (K - len(expected)))
    assert (index.search(q, K, filter=[])[1] == -1).all()
    assert (index.search(q, K, filter=[N + 5])[1] == -1).all()
    with pytest.raises(ValueError, match=r"filter: expected a boolean mask of shape \(2000,\), got \(3,\)"):
        index.search(q, K, filter=[True, False, True])


def test_build_replaces(x):
    index = iq.Index(D).build(x[:100])
    same_answers(index.build(x[100:400]), iq.Index(D).build(x[100:400]), x[N:])
    with pytest.raises(ValueError, match="train: expected an index without vectors"):
        index.train(x)


def test_training_queries_count(x):
    with_queries = iq.Index(D, bits=2).build(x[:N], queries=x[N:] * np.linspace(3, 0.1, D))
    assert not np.array_equal(with_queries.reconstruct([0]), iq.Index(D, bits=2).build(x[:N]).reconstruct([0]))


def test_pickle(x, index):
    same_answers(pickle.loads(pickle.dumps(index)), index, x[N:])
    assert not pickle.loads(pickle.dumps(iq.Index(D))).is_trained


def test_concurrent_searches_beside_an_add(x):
    index, whole = (iq.Index(D, threads=1).build(x[:500]) for _ in range(2))
    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(index.search, x[N:], K) for _ in range(20)]
        for first in range(500, 1500, 100):
            index.add(x[first : first + 100])
        for search in searches:
            ids = search.result()[1]
            assert ids.min() >= 0
            assert ids.max() < 1500
    whole.add(x[500:1500])
    same_answers(index, whole, x[N:])
