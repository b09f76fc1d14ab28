"""Lists that fit a query best, against sorting by keys of float64 products."""

import numpy as np
import pytest

from ipaq_index.index.coarse import Coarse, make_sights, multiply_centroid, score_centroids
from ipaq_index.index.nearest import best_lists, better, beyond, dots, rank, reached
from ipaq_index.scan.isa import NAMES, Portable, choose

NONE = np.ones(0, dtype=bool)


def coarse_of(rng, nlist, d, kind="plain"):
    centroids = rng.standard_normal((nlist, d))
    if kind == "far":
        centroids += 50
    if kind == "outliers":
        centroids[:, 0] *= np.exp(3 * rng.standard_normal(nlist))
    weights, shifts = np.ones(nlist), -0.5 * (centroids**2).sum(1)
    if kind == "plain":
        weights, shifts = rng.uniform(0.5, 2, nlist), np.zeros(nlist)
    return Coarse.of(*(one.astype(np.float32) for one in (centroids, weights, shifts)))


def expected(coarse, q, wanted, allowed=NONE):
    products = q.astype(np.float64) @ coarse.centroids.T.astype(np.float64)
    keys = products * coarse.weights + coarse.shifts
    if len(allowed):
        keys[:, ~allowed] = -np.inf
    order = np.argsort(-keys, axis=1, kind="stable")[:, :wanted]
    missing = np.isneginf(np.take_along_axis(keys, order, 1))
    return np.where(missing, -1, order), np.where(missing, 0, np.take_along_axis(products, order, 1))


def found(coarse, q, wanted, allowed=NONE, kernel=best_lists, isa=None):
    lists, offsets = np.empty((len(q), wanted), dtype=np.int64), np.empty((len(q), wanted), dtype=np.float32)
    kernel(isa or choose(), coarse, q, allowed, lists, offsets)
    return lists, offsets


@pytest.mark.parametrize("kind", ["plain", "far", "outliers"])
@pytest.mark.parametrize(
    ("nlist", "d", "wanted"), [(40, 5, 7), (40, 5, 40), (300, 33, 9), (300, 33, 200), (900, 64, 30)]
)
def test_nearly_all_lists_are_those_of_the_largest_keys(kind, nlist, d, wanted):
    rng = np.random.default_rng(nlist + wanted)
    coarse, q = coarse_of(rng, nlist, d, kind), rng.standard_normal((17, d)).astype(np.float32)
    q += 50 if kind == "far" else 0
    for allowed in (NONE, rng.random(nlist) < 0.7):
        lists, offsets = found(coarse, q, wanted, allowed)
        order, products = expected(coarse, q, wanted, allowed)
        assert ((lists < 0) == (order < 0)).all()
        same = np.mean([np.isin(a, b).mean() for a, b in zip(lists, order, strict=True)])
        assert same > (0.97 if kind == "far" else 0.999)  # float32 keys of 50 away are no better
        of_lists = np.take_along_axis(q @ coarse.centroids.T, np.maximum(lists, 0), 1)
        np.testing.assert_allclose(offsets, np.where(lists < 0, 0, of_lists), atol=1e-5 * np.abs(products).max())
        if kind == "plain":
            np.testing.assert_array_equal(lists, order)


def test_equal_keys_come_by_list():
    centroids = np.repeat(np.float32([[1, 0], [2, 0], [1, 0]]), 50, axis=0)
    coarse = Coarse.of(centroids, np.ones(150, dtype=np.float32), np.zeros(150, dtype=np.float32))
    lists, offsets = found(coarse, np.float32([[1, 1], [0, 0]]), 60)
    np.testing.assert_array_equal(lists, [[*range(50, 100), *range(10)], range(60)])
    np.testing.assert_array_equal(offsets, [[2.0] * 50 + [1.0] * 10, [0.0] * 60])


def test_lists_depend_neither_on_the_instruction_set_nor_on_the_queries_beside():
    rng = np.random.default_rng(1)
    coarse, q = coarse_of(rng, 70, 9), rng.standard_normal((14, 9)).astype(np.float32)
    whole = found(coarse, q, 6)
    alone = [found(coarse, one[None], 6) for one in q]
    for number, part in enumerate(whole):
        np.testing.assert_array_equal(part, np.concatenate([one[number] for one in alone]))
    for isa in (choose(), Portable()):
        for part, other in zip(whole, found(coarse, q, 6, isa=isa), strict=True):
            np.testing.assert_array_equal(part, other)
    assert choose() in NAMES.values()


def test_kernels_and_their_twins():
    rng = np.random.default_rng(3)
    coarse, q = coarse_of(rng, 9, 19), rng.standard_normal((5, 19)).astype(np.float32)
    for part, other in zip(found(coarse, q, 3), found(coarse, q, 3, kernel=best_lists.py_func), strict=True):
        np.testing.assert_array_equal(part, other)
    lists = rng.integers(-1, 9, (5, 4))
    out, twin = np.empty((2, 5, 4), dtype=np.float32)
    dots(q, coarse.centroids, lists, out)
    dots.py_func(q, coarse.centroids, lists, twin)
    np.testing.assert_array_equal(out, twin)
    products = np.take_along_axis(q @ coarse.centroids.T, np.maximum(lists, 0), 1)
    np.testing.assert_allclose(out, np.where(lists < 0, 0, products), atol=1e-5)
    assert out[0, 1] == (multiply_centroid(q[0], coarse.centroids, lists[0, 1]) if lists[0, 1] >= 0 else 0)


def test_keys_are_near_those_of_exact_products():
    rng = np.random.default_rng(4)
    coarse, q = coarse_of(rng, 40, 64), rng.standard_normal((4, 64)).astype(np.float32)
    sights = make_sights(coarse)
    score_centroids(Portable(), coarse, q, sights)
    keys = (q @ coarse.centroids.T) * coarse.weights + coarse.shifts
    assert np.isneginf(sights.keys[:, 40:]).all()
    off = sights.keys[:, :40] - keys
    assert (off - off.mean(1, keepdims=True)).std() < 0.02 * keys.std()  # a constant a query is left out


def test_places_of_keys():
    keys = np.full(128, -np.inf, dtype=np.float32)
    keys[:70] = np.random.default_rng(5).integers(0, 9, 70)
    assert [better(keys, n, 70) for n in np.argsort(-keys[:70], kind="stable")] == list(range(70))
    chosen = np.empty(140, dtype=np.int64)
    held = beyond(keys, 70, np.float32(4), chosen)
    assert chosen[:held].tolist() == np.flatnonzero(keys >= 4).tolist()
    assert int(reached(keys, 64, np.float32(0))) == 0b111111


def test_a_list_is_named_even_where_keys_overflow():
    rng = np.random.default_rng(6)
    centroids = rng.standard_normal((200, 4)).astype(np.float32) * 1e10
    with np.errstate(over="ignore", invalid="ignore"):
        coarse = Coarse.of(centroids, np.full(200, 3e38, dtype=np.float32), np.zeros(200, dtype=np.float32))
        lists, offsets = found(coarse, 1e10 * rng.standard_normal((3, 4)).astype(np.float32), 5)
    assert ((lists >= -1) & (lists < 200)).all()
    assert np.isfinite(offsets).all()
    keys, own = np.full((1, 256), np.nan, dtype=np.float32), np.empty((1, 5), dtype=np.int64)
    rank(keys, coarse, centroids[:1], NONE, own, offsets[:1])
    assert (own == -1).all()
