"""Patterns of sparse coordinates: who has a symbol with whom, k-means, and what it is worth from end to end."""

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.quantizer import Quantizer, QuantizerSpec, patterns

D, N = 48, 3_000


def sparse(n, seed, d=D):
    rng = np.random.default_rng(seed)
    return (rng.standard_exponential((n, d)) * (rng.random((n, d)) < 0.1)).astype(np.float32)


@pytest.mark.parametrize("bits", [24, 32, 48, 64, 96, 144])
def test_every_symbol_has_as_many_coordinates_as_bits_ask(bits):
    even = patterns.sizes(np.ones(D), bits)
    assert len(even) == bits // 4 and sum(even) == D
    assert max(even) - min(even) <= 1
    uneven = patterns.sizes(np.geomspace(4, 0.2, D), bits)
    assert uneven is None or (len(uneven) == bits // 4 and sum(uneven) <= D and uneven[0] <= uneven[-1])


def test_where_patterns_do_not_suit():
    assert patterns.sizes(np.ones(D), 3 * D + 8) is None
    assert patterns.sizes(np.ones(D), D // 4) is None
    assert patterns.sizes(np.concatenate([np.ones(10), np.zeros(D - 10)]), D) is None
    # coordinates that would get less than nothing are left out, and the last
    assert sum(patterns.sizes(np.concatenate([np.ones(40), np.full(8, 1e-6)]), 40)) == 40


def test_patterns_are_those_of_k_means():
    y, together = sparse(N, 0), patterns.sizes(np.ones(D), D)
    found = patterns.fit_patterns(y, together, 1)
    np.testing.assert_array_equal(found, patterns.fit_patterns(y, together, 3))
    ends = np.cumsum(together)
    for size, end in zip(together, ends, strict=True):
        own, centres = y[:, end - size : end].astype(np.float64), found[end - size : end].T.astype(np.float64)
        assert not centres[0].any()
        nearest = np.square(own[:, None] - centres).sum(2).argmin(1)
        np.testing.assert_array_equal(patterns.nearest(y, found, together)[:, end - size : end], centres[nearest])
        moved = np.array([own[nearest == k].mean(0) if k and (nearest == k).any() else centres[k] for k in range(16)])
        errors = [np.square(own[:, None] - c).sum(2).min(1).sum() for c in (centres, moved)]
        assert errors[1] > 0.98 * errors[0]


def relative_error(spec, x, later):
    quantizer = Quantizer.fit(x, spec)
    decoded = quantizer.decode(quantizer.encode(later))
    return np.square(decoded - later).sum() / np.square(later).sum(), quantizer


@pytest.mark.parametrize("bits", [24, 48, 72])
def test_half_of_the_error_at_the_same_bytes(bits):
    x, later = sparse(N, 1), sparse(500, 2)
    ours, quantizer = relative_error(QuantizerSpec(D, bits, side_bytes=1), x, later)
    assert sum(quantizer.rates) == pytest.approx(bits)
    assert (quantizer.shared > 0).any()
    others = [
        relative_error(QuantizerSpec(D, bits, side_bytes=1, transform=t), x, later)[0] for t in ("none", "random")
    ]
    assert ours < 0.6 * min(others)
    few = relative_error(QuantizerSpec(D, bits, states=16), x, later)[1]
    assert few.bits.max() < 4


@pytest.mark.parametrize("queries", [1, 9])
@pytest.mark.parametrize("nlist", [None, 3])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_search_is_exact_from_codes(queries, nlist, metric, tmp_path):
    x = sparse(N, 3)
    index = iq.Index(D, bits=1, nlist=nlist, metric=metric, threads=1).build(x)
    q = sparse(queries, 4)
    decoded = index.reconstruct(np.arange(N)).astype(np.float64)
    exact = q.astype(np.float64) @ decoded.T
    if metric == "l2":
        exact = -(np.square(q).sum(1)[:, None] - 2 * exact + np.square(decoded).sum(1))
    more = {"nprobe": 3} if nlist else {}
    scores, ids = index.search(q, k=10, **more)
    if metric == "ip":
        np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :10], atol=2e-4)
        np.testing.assert_allclose(np.take_along_axis(exact, ids, 1), scores, atol=2e-4)
    iq.save(index, tmp_path / "patterns.ipaq")
    for ours, theirs in zip(iq.load(tmp_path / "patterns.ipaq").search(q, k=10, **more), (scores, ids), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_and_pieces_change_nothing():
    x = sparse(N, 5)
    one, two = (iq.Index(D, bits=1, threads=threads) for threads in (1, 2))
    one.build(x)
    two.train(x)
    for first in range(0, N, 700):
        two.add(x[first : first + 700])
    np.testing.assert_array_equal(one.reconstruct(np.arange(N)), two.reconstruct(np.arange(N)))
