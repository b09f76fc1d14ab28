"""Searches beside a writer: each sees the index as it was at one moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.index.versions import Versions
from tests import brute_force

D, K = 8, 5


@pytest.mark.parametrize("nlist", [None, 6])
def test_searches_beside_adds_removals_and_updates(nlist):
    """Vectors of id i have length i + 1 in one direction: a score that is not its id's shows a row torn in two."""
    rng = np.random.default_rng(0)
    direction = np.full(D, 1 / np.sqrt(D), dtype=np.float32)

    def vectors(ids):
        return (ids[:, None] % 50 + 10) * direction + 0.01 * rng.standard_normal((len(ids), D)).astype(np.float32)

    first = np.arange(400)
    index = iq.Index(D, bits=8, nlist=nlist, states=8, threads=1).build(vectors(first))
    stop, faults = threading.Event(), []

    def search():
        while not stop.is_set():
            scores, ids = index.search(direction[None, :], K, nprobe=nlist)
            wrong = np.abs(scores[0] - (ids[0] % 50 + 10)) > 1
            if (ids < 0).any() or len(set(ids[0])) < K or wrong.any():
                faults.append((scores, ids))

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(search) for _ in range(3)]
        for step in range(60):
            fresh = np.arange(400 + 20 * step, 420 + 20 * step)
            index.remove(index.ids()[:20])
            index.add(vectors(fresh), fresh)
            kept = index.ids()[5:9]
            index.update(kept, vectors(kept))
        stop.set()
        for reader in readers:
            reader.result()
    assert not faults
    assert len(index) == 400
    assert index.info()["blocks"] < 60  # room was used again


def test_writers_wait_for_one_another():
    x = brute_force.clustered(640, D, seed=2)
    index = iq.Index(D, states=8, threads=1).train(x)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: index.add(x[n : n + 16], np.arange(n, n + 16)), range(0, 640, 16)))
    assert sorted(index.ids().tolist()) == list(range(640))
    one = iq.Index(D, states=8).train(x)
    one.add(x)
    np.testing.assert_array_equal(index.reconstruct(np.arange(640)), one.reconstruct(np.arange(640)))


def test_rows_in_sight_are_not_filled_again():
    x = brute_force.clustered(200, D, seed=3)
    index = iq.Index(D, states=8).build(x[:100])
    held = index._content
    before = held.rows.blocks.copy(), held.rows.side.copy()
    index.remove(np.arange(50))
    index.add(x[100:150])
    np.testing.assert_array_equal(held.rows.blocks, before[0])
    np.testing.assert_array_equal(held.rows.side, before[1])
    del held
    index.remove(np.arange(50, 60))
    blocks = index._content.rows.blocks
    index.add(x[150:160])
    assert index._content.rows.blocks is blocks  # nobody looks: the same arrays, the same room


def test_versions():
    class Content:
        pass

    versions, contents = Versions(), [Content() for _ in range(4)]
    versions.retire(contents[0], freed=False)
    assert not versions.in_sight()
    versions.retire(contents[1], freed=True)
    assert versions.in_sight()
    del contents[1]
    assert versions.in_sight()  # the first one, from before, sees those rows too
    del contents[0]
    assert not versions.in_sight()
    versions.retire(contents[0], freed=True)
    versions.copied()
    assert not versions.in_sight()
