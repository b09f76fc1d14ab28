"""Routing, merging and gathering: what needs neither files nor Ray."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipaq_index.distributed.errors import MissingShardsError
from ipaq_index.distributed.gather import gather
from ipaq_index.distributed.merge import merge
from ipaq_index.distributed.routing import mixed, sampled, shard_of


def splitmix64(number: int) -> int:
    """Return the reference generator's output for a state, in Python integers."""
    mask = 2**64 - 1
    z = (number + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@given(st.lists(st.integers(0, 2**63 - 1), max_size=20), st.integers(1, 1000))
def test_routing_is_splitmix64_of_the_id(ids, shards):
    expected = [splitmix64(id) % shards for id in ids]
    assert shard_of(np.array(ids, dtype=np.int64), shards).tolist() == expected


def test_routing_never_changes():
    assert mixed(np.array([0, 1, 2**62], dtype=np.int64)).tolist() == [
        0xE220A8397B1DCDAF,  # the generator's published first output for seed 0
        splitmix64(1),
        splitmix64(2**62),
    ]
    assert shard_of(np.arange(12), 5).tolist() == [splitmix64(i) % 5 for i in range(12)]


def test_routing_is_even():
    counts = np.bincount(shard_of(np.arange(100_000), 7), minlength=7)
    assert abs(counts - 100_000 / 7).max() < 5 * np.sqrt(100_000 / 7)


def test_a_sample_does_not_depend_on_order_nor_on_shards():
    ids = np.arange(50_000)
    chosen = sampled(ids, 0.1, seed=0)
    assert abs(chosen.sum() - 5_000) < 5 * np.sqrt(5_000)
    np.testing.assert_array_equal(sampled(ids[::-1], 0.1, seed=0), chosen[::-1])
    assert (sampled(ids, 0.1, seed=1) != chosen).any()
    assert sampled(ids, 1.0, seed=0).all()
    per_shard = np.bincount(shard_of(ids[chosen], 4), minlength=4)
    assert abs(per_shard - chosen.sum() / 4).max() < 5 * np.sqrt(chosen.sum() / 4)


@settings(deadline=None)
@given(st.data())
def test_merge_is_sorting_everything(data):
    k, queries = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    ascending = data.draw(st.booleans())
    worst = np.inf if ascending else -np.inf
    held = data.draw(st.lists(st.integers(0, 8), max_size=4))  # how many each shard found
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ids = rng.permutation(sum(held))
    parts, every = [], [[] for _ in range(queries)]
    for count in held:
        mine, ids = ids[:count], ids[count:]
        scores = rng.integers(-2, 3, (queries, count)).astype(np.float32)  # many ties
        for q in range(queries):
            every[q] += [(s if ascending else -s, i) for s, i in zip(scores[q], mine, strict=True)]
        fill = np.full((queries, 2), worst, dtype=np.float32), np.full((queries, 2), -1)
        parts.append((np.hstack([scores, fill[0]]), np.hstack([np.tile(mine, (queries, 1)), fill[1]])))
    scores, found = merge(parts, queries, k, ascending=ascending)
    assert scores.shape == found.shape == (queries, k)
    assert scores.dtype == np.float32 and found.dtype == np.int64
    for q in range(queries):
        best = sorted(every[q])[:k]
        expected = [(s if ascending else -s, i) for s, i in best] + [(worst, -1)] * (k - len(best))
        assert list(zip(scores[q].tolist(), found[q].tolist(), strict=True)) == expected


def test_merge_puts_a_real_minus_infinity_before_an_empty_place():
    parts = [(np.array([[-np.inf]], dtype=np.float32), np.array([[5]]))]
    assert merge(parts, 1, 2, ascending=False)[1].tolist() == [[5, -1]]


class Lost(Exception):
    """Stands for a lost machine."""


def ask(pool, answer, shards=(0, 1, 2), **options):
    """Gather with short times from functions run in threads."""
    given = {"replicas": 2, "timeout": 5.0, "patience": 2.0, "retryable": (Lost,)} | options
    return gather(shards, lambda shard, attempt: pool.submit(answer, shard, attempt), **given)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_gather_returns_one_answer_a_shard(pool):
    assert ask(pool, lambda shard, attempt: 10 * shard + attempt) == {0: 0, 1: 10, 2: 20}
    assert ask(pool, lambda shard, attempt: shard, shards=()) == {}


def test_gather_asks_another_replica_where_one_is_lost(pool):
    def answer(shard, attempt):
        if shard == 1 and attempt < 3:
            raise Lost("machine is gone")
        return attempt

    found = ask(pool, answer)
    assert found == {0: 0, 1: 3, 2: 0}
    assert not found.missing


def test_gather_says_what_is_missing(pool):
    def answer(shard, attempt):
        if shard == 1:
            raise Lost("machine is gone")
        return shard

    found = ask(pool, answer, timeout=0.4)
    assert found == {0: 0, 2: 2}
    assert found.missing == {1: "Lost: machine is gone"}


def test_gather_does_not_wait_for_a_silent_replica(pool):
    silent = threading.Event()

    def answer(shard, attempt):
        if shard == 0 and attempt == 0:
            silent.wait(10)
        return attempt

    begin = time.monotonic()
    assert ask(pool, answer, patience=0.1) == {0: 1, 1: 0, 2: 0}
    assert time.monotonic() - begin < 5
    silent.set()


def test_gather_gives_up_on_shards_that_say_nothing():
    found = gather([0], lambda *_: Future(), replicas=1, timeout=0.2, patience=0.05, retryable=(Lost,))
    assert found == {} and found.missing == {0: "no answer in time"}


def test_gather_once_gives_up_at_the_first_failure(pool):
    def answer(shard, attempt):
        if shard == 1:
            raise Lost("machine is gone")
        return attempt

    begin = time.monotonic()
    found = ask(pool, answer, timeout=30.0, once=True)
    assert found == {0: 0, 2: 0} and found.missing == {1: "Lost: machine is gone"}
    assert time.monotonic() - begin < 15

    def refused(shard, attempt):
        raise Lost("no such actor")

    options = {"replicas": 1, "timeout": 30, "patience": 30, "retryable": (Lost,), "once": True}
    assert gather([4], refused, **options).missing == {4: "Lost: no such actor"}


def test_gather_tries_again_where_asking_itself_fails(pool):
    def send(shard, attempt):
        if attempt == 0:
            raise Lost("no such actor")
        return pool.submit(lambda: shard)

    assert gather([4], send, replicas=1, timeout=5, patience=1, retryable=(Lost,)) == {4: 4}


def test_gather_does_not_repeat_a_callers_fault(pool):
    attempts = []

    def answer(shard, attempt):
        attempts.append(attempt)
        raise ValueError("k: expected at least 1")

    with pytest.raises(ValueError, match="k: expected"):
        ask(pool, answer, shards=(0,))
    assert attempts == [0]


def test_missing_shards_are_named_and_survive_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(MissingShardsError({3: "Lost: gone", 1: "no answer in time"})))
    assert error.missing == {3: "Lost: gone", 1: "no answer in time"}
    assert str(error) == "no answer from 2 shard(s): shard 1: no answer in time; shard 3: Lost: gone"
