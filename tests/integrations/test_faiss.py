"""FAISS indexes rebuilt, and the facade against a FAISS index that is asked the same."""

import faiss
import numpy as np
import pytest

from ipaq_index.integrations.faiss import IndexIPAQ, from_faiss, read_index, write_index

D, N = 8, 400
RNG = np.random.default_rng(6)
X = RNG.standard_normal((N, D), dtype=np.float32)
Q = RNG.standard_normal((9, D), dtype=np.float32)
IDS = RNG.permutation(10 * N)[:N].astype(np.int64)
FINE = {"bits": 8, "encoding": "scalar"}  # precise enough to recognise vectors, and quickly added


def built(description, metric=faiss.METRIC_L2, ids=None):
    index = faiss.index_factory(D, description, metric)
    index.train(X)
    if ids is None:
        index.add(X)
    else:
        index.add_with_ids(X, ids)
    return index


def overlap(a, b):
    return np.mean([len(set(x) & set(y)) / len(x) for x, y in zip(a, b, strict=True)])


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize(
    ("description", "ids"),
    [
        ("Flat", None),
        ("SQ8", None),
        ("HNSW8", None),
        ("IDMap,Flat", IDS),
        ("IDMap2,SQ8", IDS),
        ("RR8,Flat", None),
        ("SQ4,RFlat", None),
        ("IVF7,Flat", IDS),
        ("IVF7,SQ8", IDS),
        ("IVF7,PQ4x4fs", IDS),
        ("RR8,IVF7,SQ8", IDS),
    ],
)
def test_rebuilt_indexes_find_what_the_vectors_themselves_do(description, ids, metric):
    old = built(description, metric, ids)
    new = from_faiss(old, **FINE)
    np.testing.assert_array_equal(np.sort(new.ids()), np.arange(N) if ids is None else np.sort(ids))
    exact = faiss.IndexFlat(D, metric)
    exact.add(X)
    rows = exact.search(Q, 10)[1]
    found = new.search(Q, 10, nprobe=new.nlist)[1]
    least = 0.5 if "PQ4x4fs" in description else 0.85  # what was thrown away does not come back
    assert overlap(found, rows if ids is None else ids[rows]) >= least
    assert old.ntotal == N


def test_lists_are_those_of_the_old_index():
    old = built("IVF16,Flat")
    old.nprobe = 3
    new = from_faiss(old, **FINE)
    assert (new.nlist, new.nprobe) == (16, 3)
    np.testing.assert_array_equal(new._content.partition.centroids, old.quantizer.reconstruct_n(0, 16))
    probed = {i for number in old.quantizer.search(Q[:1], 3)[1][0] for i in _list(old, number)}
    assert set(new.search(Q[:1], N)[1][0]) - {-1} == probed
    assert from_faiss(old, reuse_lists=False, **FINE).nlist is None
    assert from_faiss(old, nlist=4, **FINE).nlist == 4


def _list(index, number):
    return faiss.rev_swig_ptr(index.invlists.get_ids(int(number)), index.invlists.list_size(int(number))).tolist()


def test_centroids_lie_in_the_space_of_the_vectors():
    old = built("RR8,IVF16,Flat")
    new = from_faiss(old, **FINE)
    ivf = faiss.extract_index_ivf(old)
    expected = ivf.quantizer.search(old.chain.at(0).apply(X), 1)[1][:, 0]
    np.testing.assert_array_equal(new._content.partition.assign(X, 1), expected)


def test_what_cannot_be_rebuilt_is_refused():
    flat, shards = built("Flat"), faiss.IndexShards(D)
    shards.add_shard(flat)
    with pytest.raises(TypeError, match=r"index: expected a faiss\.Index, got IndexBinaryFlat"):
        from_faiss(faiss.IndexBinaryFlat(8))
    with pytest.raises(ValueError, match="index: expected inner product or L2 as metric"):
        from_faiss(built("Flat", faiss.METRIC_L1))
    with pytest.raises(ValueError, match="got an empty one"):
        from_faiss(faiss.IndexFlatL2(D))
    with pytest.raises(ValueError, match="index: expected one that can reconstruct its vectors"):
        from_faiss(shards)


@pytest.fixture(params=[faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def pair(request):
    """The facade, and a flat FAISS index of the vectors that the facade decodes: they must agree to the last id."""
    ours = IndexIPAQ(D, 8, request.param, encoding="scalar")
    assert not ours.is_trained
    ours.train(X)
    ours.add_with_ids(X, IDS)
    theirs = faiss.IndexIDMap2(faiss.IndexFlat(D, request.param))
    theirs.add_with_ids(ours.reconstruct_batch(IDS), IDS)
    return ours, theirs


def assert_same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-3)
    assert overlap(found[1], expected[1]) > 0.97


def test_search_is_that_of_faiss(pair):
    ours, theirs = pair
    assert (ours.d, ours.ntotal, ours.metric_type) == (theirs.d, theirs.ntotal, theirs.metric_type)
    assert_same(ours.search(Q, 7), theirs.search(Q, 7))
    scores, ids = np.empty((9, 3), dtype=np.float32), np.empty((9, 3), dtype=np.int64)
    assert ours.search(Q, 3, D=scores, I=ids)[0] is scores
    np.testing.assert_array_equal(ids, ours.search(Q, 3)[1])
    np.testing.assert_array_equal(ours.assign(Q), ids[:, 0])
    found = ours.search_and_reconstruct(Q, 3)
    np.testing.assert_array_equal(found[2][4, 1], ours.reconstruct(ids[4, 1]))


def test_places_that_stay_empty_look_as_in_faiss(pair):
    ours, theirs = pair
    found, expected = ours.search(Q, N + 2), theirs.search(Q, N + 2)
    np.testing.assert_array_equal(found[1][:, N:], expected[1][:, N:])
    np.testing.assert_array_equal(found[0][:, N:], expected[0][:, N:])


@pytest.mark.parametrize(
    "selector",
    [
        faiss.IDSelectorRange(100, 2000),
        faiss.IDSelectorBatch(IDS[:50]),
        faiss.IDSelectorNot(faiss.IDSelectorArray(IDS[9:])),
    ],
    ids=["range", "batch", "not"],
)
def test_selectors_choose_what_is_searched_and_removed(pair, selector):
    ours, theirs = pair
    params = faiss.SearchParameters(sel=selector)
    chosen = {i for i in IDS.tolist() if selector.is_member(i)}
    ids = ours.search(Q, N, params=params)[1]
    assert all(set(row) - {-1} == chosen for row in ids.tolist())
    assert ours.remove_ids(selector) == theirs.remove_ids(selector) == len(chosen)
    assert set(ours.search(Q[:1], N)[1][0]) - {-1} == set(IDS.tolist()) - chosen
    assert ours.remove_ids(IDS[:5]) == theirs.remove_ids(IDS[:5])


def test_range_search_is_that_of_faiss(pair):
    ours, theirs = pair
    threshold = float(np.median(theirs.search(Q, 20)[0][:, 19]))
    lims, scores, ids = ours.range_search(Q, threshold)
    expected = theirs.range_search(Q, threshold)
    for i in range(len(Q)):
        mine, other = set(ids[lims[i] : lims[i + 1]]), set(expected[2][expected[0][i] : expected[0][i + 1]])
        assert len(mine ^ other) <= 1  # one may lie on the threshold
    assert len(scores) == lims[-1]


def test_files_and_reset(pair, tmp_path):
    ours, _ = pair
    write_index(ours, tmp_path / "index.ipaq")
    for flags in (0, faiss.IO_FLAG_MMAP):
        again = read_index(tmp_path / "index.ipaq", flags)
        for found, expected in zip(again.search(Q, 5), ours.search(Q, 5), strict=True):
            np.testing.assert_array_equal(found, expected)
    ours.reset()
    ours.add(X[:5])
    assert ours.ntotal == 5
    np.testing.assert_allclose(ours.reconstruct_n(1, 3), X[1:4], atol=0.05)


def test_nprobe_of_a_call_goes_before_that_of_the_index():
    index = IndexIPAQ(D, 8, faiss.METRIC_L2, nlist=8, encoding="scalar")
    index.train(X)
    index.add(X)
    index.nprobe = 8
    everything = index.search(Q, 20)[1]
    few = index.search(Q, 20, params=faiss.SearchParametersIVF(nprobe=1))[1]
    index.nprobe = 1
    np.testing.assert_array_equal(index.search(Q, 20)[1], few)
    assert overlap(few, everything) < 1
    with pytest.raises(ValueError, match="metric: expected METRIC_INNER_PRODUCT"):
        IndexIPAQ(D, 4, faiss.METRIC_L1)
