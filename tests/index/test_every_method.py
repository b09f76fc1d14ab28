"""Every public method works on every kind of index: flat and partitioned, each metric, refined or not."""

import pickle

import numpy as np
import pytest

import ipaq_index as iq
from tests import brute_force

D, N, K = 6, 120, 5
CALLED = {  # by the test below, or by reading
    *("add", "add_with_ids", "build", "bytes_per_vector", "d", "dim", "evaluate", "from_bytes", "ids", "info"),
    *("is_trained", "metric", "metric_type", "nlist", "nprobe", "ntotal", "range_search", "reconstruct"),
    *("reconstruct_batch", "reconstruct_n", "remove", "remove_ids", "reset", "search", "search_ids", "to_bytes"),
    *("train", "tune", "update"),
    "add_dataset",  # in test_inputs.py
    *("announce", "sync"),  # of files, in tests/storage
}


def test_no_method_is_forgotten():
    assert {name for name in dir(iq.Index) if not name.startswith("_")} == CALLED


@pytest.mark.parametrize("refine", [None, "fp16", "sq8"])
@pytest.mark.parametrize("nlist", [None, 4])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_every_method(metric, nlist, refine):
    x = brute_force.clustered(N + 20, D, seed=1)
    x, q = x[:N], x[N:]
    best = brute_force.top_k(x, q, K, metric)
    index = iq.Index(D, 8, metric=metric, nlist=nlist, refine=refine, states=8)
    assert not index.is_trained
    index.train(x)
    index.add(x[:50])
    index.add_with_ids(x[50:], np.arange(50, N))
    assert (index.is_trained, index.ntotal, len(index), index.d, index.dim) == (True, N, N, D, D)
    assert (index.metric, index.metric_type, index.nlist) == (metric, int(metric == "l2"), nlist)
    assert index.bytes_per_vector >= D
    every = {} if nlist is None else {"nprobe": nlist}

    scores, ids, std = index.search(q, K, return_std=True, **every)
    assert brute_force.recall(ids, best) > 0.9
    assert (std > 0).all()
    sign = -1 if metric == "l2" else 1
    exact = sign * np.take_along_axis(brute_force.scores(x, q, metric), ids, 1)
    np.testing.assert_allclose(scores, exact, atol=0.2)
    np.testing.assert_array_equal(index.search(q[3], K, filter=ids[3, 1:3])[1][0, :3], [*ids[3, 1:3], -1])
    lims, within, found = index.range_search(q, float(scores[0, 2]), **every)
    assert {*ids[0, :3]} <= {*found[: lims[1]]} or refine
    assert (sign * within >= sign * scores[0, 2]).all()
    near, others, std = index.search_ids([7, 8], K, k_factor=2, return_std=True, **every)
    assert 7 not in others[0]
    assert near.shape == others.shape == std.shape == (2, K)
    assert (std > 0).all()
    tuned = index.tune(q, 0.9)
    assert (tuned is None) == (nlist is None)
    assert index.nprobe == tuned
    assert index.evaluate(q, x, K, **every).recall > 0.9
    assert index.info()["ntotal"] == N

    wanted = brute_force.unit(x) if metric == "cosine" else x
    for decoded in (index.reconstruct(index.ids()), index.reconstruct_batch(np.arange(N)), index.reconstruct_n()):
        np.testing.assert_allclose(decoded, wanted, atol=0.1)
    assert index.reconstruct(3).shape == (D,)
    for again in (iq.Index.from_bytes(index.to_bytes()), pickle.loads(pickle.dumps(index))):
        for one, other in zip(again.search(q, K, **every), index.search(q, K, **every), strict=True):
            np.testing.assert_array_equal(one, other)

    index.update([2, 9], x[[9, 2]])
    np.testing.assert_allclose(index.reconstruct([9, 2]), wanted[[2, 9]], atol=0.1)
    assert (index.remove([2, 9]), index.remove_ids([2, 3])) == (2, 1)
    assert 2 not in index
    assert 4 in index
    assert not np.isin(index.search(q, N, **every)[1], [2, 3, 9]).any()
    index.reset()
    assert index.ntotal == 0
    assert (index.search(q, 2)[1] == -1).all()
    assert index.build(x, q, np.arange(N) + 7).ids()[0] == 7
