"""Indexes from text, and the names that FAISS users type."""

import faiss
import numpy as np
import pytest

import ipaq_index as iq
from tests import brute_force

D = 8


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("IPAQ4", {"bits": 4.0, "nlist": None, "refine": None}),
        ("IPAQ", {"bits": 4.0, "nlist": None, "refine": None}),
        ("IVF1024,IPAQ2.5", {"bits": 2.5, "nlist": 1024, "refine": None}),
        ("IVF, IPAQ.5", {"bits": 0.5, "nlist": "auto", "refine": None}),
        ("ivf4096,ipaq4,refine(FP16)", {"bits": 4.0, "nlist": 4096, "refine": "fp16"}),
        ("IPAQ3,Refine(sq8)", {"bits": 3.0, "nlist": None, "refine": "sq8"}),
    ],
)
def test_descriptions(text, parameters):
    index = iq.index_factory(D, text, metric="l2", seed=3)
    config = index.info()["config"]
    assert {name: config[name] for name in parameters} == parameters
    assert (config["dim"], config["metric"], config["seed"]) == (D, "l2", 3)


@pytest.mark.parametrize("text", ["", "PQ8", "IPAQ4,IVF3", "IVF3", "IPAQ4,Refine", "IPAQ4x", "IVF-1,IPAQ4", "IPAQ4,,"])
def test_what_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"description: expected '\[IVF<lists>,\]IPAQ<bits>.*such as 'IPAQ4'"):
        iq.index_factory(D, text)


def test_what_is_read_but_impossible():
    with pytest.raises(ValueError, match="refine: expected None or one of fp16, sq8, got 'flat'"):
        iq.index_factory(D, "IPAQ4,Refine(Flat)")
    with pytest.raises(ValueError, match="bits: expected more than 0 and at most 8"):
        iq.index_factory(D, "IPAQ9")
    with pytest.raises(ValueError, match="nlist: expected at least 1, got 0"):
        iq.index_factory(D, "IVF0,IPAQ4")
    with pytest.raises(TypeError, match="bits: expected in the description only"):
        iq.index_factory(D, "IPAQ4", bits=3)
    with pytest.raises(ValueError, match="metric: expected one of ip, cosine, l2"):
        iq.index_factory(D, "IPAQ4", metric=2)
    with pytest.raises(TypeError, match="description: expected a text"):
        iq.index_factory(D, None)


@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2])
def test_code_written_for_faiss(metric):
    """The same lines run on both, and mean the same."""
    x = brute_force.clustered(500, D, seed=7)
    results = []
    for make, text in ((faiss.index_factory, "IVF8,SQ8"), (iq.index_factory, "IVF8,IPAQ8")):
        index = make(D, text, metric)
        assert not index.is_trained
        index.train(x)
        assert index.is_trained
        index.add(x[:250])
        index.add_with_ids(x[250:], np.arange(250, 500)) if make is iq.index_factory else index.add(x[250:])
        index.nprobe = 8
        assert (index.ntotal, index.d, index.metric_type) == (500, D, metric)
        scores, ids = index.search(x[:20], 5)
        lims, range_scores, range_ids = index.range_search(x[:20], float(scores[:, 2].mean()))
        assert lims[-1] == len(range_scores) == len(range_ids)
        assert index.remove_ids(np.array([1, 3, 99_999])) == 2
        assert index.ntotal == 498
        results.append((scores, ids, lims))
        index.reset()
        assert index.ntotal == 0
    (scores, ids, lims), (our_scores, our_ids, our_lims) = results
    assert brute_force.recall(our_ids, ids) > 0.9
    np.testing.assert_allclose(our_scores, scores, atol=0.3)
    assert our_scores.dtype == scores.dtype
    assert our_ids.dtype == ids.dtype
    assert abs(int(our_lims[-1]) - int(lims[-1])) < 0.05 * lims[-1] + 5


def test_reconstruct_in_order():
    x = brute_force.clustered(30, D, seed=8)
    index = iq.Index(D).build(x, ids=np.arange(30)[::-1])
    np.testing.assert_array_equal(index.reconstruct_n(2, 3), index.reconstruct_batch([27, 26, 25]))
    assert index.reconstruct_n().shape == (30, D)
