"""Any sequence of adds, removals, updates, searches, saves and loads does what a dictionary of vectors would do."""

import pickle
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ipaq_index as iq
from ipaq_index.index import content
from tests import brute_force
from tests.index.model import Model, check_range, check_top

D = 6
TOLERANCE = {"ip": 2e-4, "cosine": 2e-4, "l2": 2e-3}  # float32 sums of vectors of length about 3
CODES_TOLERANCE = 0.6  # of the distance between a vector and its decoding

# (metric, nlist, refine): every method on flat and partitioned indexes
KINDS = [
    ("ip", None, None),
    ("ip", 5, None),
    ("cosine", None, "fp16"),
    ("cosine", 5, None),
    ("l2", None, None),
    ("l2", 5, "sq8"),
]


@cache
def trained(kind: int) -> bytes:
    metric, nlist, refine = KINDS[kind]
    index = iq.Index(D, bits=4, metric=metric, nlist=nlist, refine=refine, states=8, threads=1)
    return index.train(brute_force.clustered(600, D, seed=kind)).to_bytes()


def vectors(count: int, seed: int) -> np.ndarray:
    return brute_force.clustered(count, D, seed=seed, clusters=3)


counts = st.sampled_from([1, 1, 2, 3, 17, 31, 32, 33, 70])
seeds = st.integers(0, 10_000)


class Machine(RuleBasedStateMachine):
    @initialize(kind=st.integers(0, len(KINDS) - 1))
    def begin(self, kind):
        self.metric, self.nlist, self.refine = KINDS[kind]
        self.index = iq.Index.from_bytes(trained(kind))
        self.model = Model(self.metric)
        self.tolerance = TOLERANCE[self.metric]
        self.sign = -1 if self.metric == "l2" else 1

    def hold(self, ids, x):
        """Let the model have what the codes say now: from here on that must never change."""
        decoded = self.index.reconstruct(ids)
        wanted = brute_force.unit(x) if self.metric == "cosine" else x
        assert np.linalg.norm(decoded - wanted, axis=1).max() < CODES_TOLERANCE * (
            1 + np.linalg.norm(wanted, axis=1).max()
        )
        self.model.add(ids, decoded, None if self.refine else x)

    @rule(count=counts, seed=seeds)
    def add(self, count, seed):
        x = vectors(count, seed)
        self.index.add(x)
        self.hold(np.arange(self.model.next_id, self.model.next_id + count), x)

    @rule(ids=st.lists(st.integers(0, 300) | st.just(2**62), min_size=1, max_size=40, unique=True), seed=seeds)
    def add_with_ids(self, ids, seed):
        x = vectors(len(ids), seed)
        taken = set(ids) & set(self.model.vectors)
        if 2**62 in ids:  # numbers continue after it: once is enough
            ids = [i for i in ids if i != 2**62] or [301]
            x, taken = x[: len(ids)], set(ids) & set(self.model.vectors)
        if taken:
            with pytest.raises(ValueError, match="does not hold yet") as error:
                self.index.add(x, ids)
            assert all(str(i) in str(error.value) for i in sorted(taken)[:1])
        else:
            self.index.add(x, ids)
            self.hold(np.array(ids), x)

    @precondition(lambda self: self.model.vectors)
    @rule(data=st.data())
    def remove(self, data):
        everything = self.model.ids
        if data.draw(st.booleans()):
            first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(everything))] * 2)))
            ids = everything[first:last]
        else:
            ids = everything[:: data.draw(st.integers(1, 4))]
        assert self.index.remove(ids) == len(ids)
        for i in ids:
            del self.model.vectors[int(i)]

    @rule()
    def remove_what_is_not_there(self):
        with pytest.raises(KeyError, match="not in the index: 999999"):
            self.index.remove([*self.model.ids[:2], 999_999])
        assert self.index.remove_ids([999_999]) == 0

    @precondition(lambda self: self.model.vectors)
    @rule(step=st.integers(1, 5), seed=seeds)
    def update(self, step, seed):
        ids = self.model.ids[::step][::-1]
        x = vectors(len(ids), seed)
        self.index.update(ids, x)
        self.hold(ids, x)

    @rule(k=st.sampled_from([1, 3, 10, 200]), seed=seeds)
    def search(self, k, seed):
        q = vectors(2, seed)
        scores, ids, std = self.index.search(q, k, nprobe=self.nlist, k_factor=1_000, return_std=True)
        assert (std >= 0).all()
        assert std.shape == scores.shape
        for row in range(2):
            check_top(scores[row], ids[row], self.model.scores(q[row]), k, self.tolerance, self.sign)
        if self.nlist:  # fewer lists find fewer vectors, but what they find is there
            scores, ids = self.index.search(q[0], k, nprobe=1, k_factor=1_000)
            expected = self.model.scores(q[0])
            held = ids[0] >= 0
            np.testing.assert_allclose(
                self.sign * scores[0, held], [expected[int(i)] for i in ids[0, held]], atol=self.tolerance
            )

    @rule(k=st.sampled_from([1, 4, 60]), seed=seeds, share=st.sampled_from([0.01, 0.1, 0.5, 0.9]), masked=st.booleans())
    def search_filtered(self, k, seed, share, masked):
        q = vectors(1, seed)[0]
        mask = np.random.default_rng(seed).random(len(self.model.vectors)) < share
        chosen = self.model.ids[mask]
        allowed = mask if masked else [*chosen[::-1], 777_777]
        scores, ids = self.index.search(q, k, filter=allowed, nprobe=self.nlist, k_factor=1_000)
        expected = {i: score for i, score in self.model.scores(q).items() if i in set(chosen.tolist())}
        check_top(scores[0], ids[0], expected, k, self.tolerance, self.sign)

    @precondition(lambda self: self.model.vectors)
    @rule(seed=seeds, place=st.floats(0, 1))
    def search_range(self, seed, place):
        q = vectors(1, seed)
        expected = self.model.scores(q[0])
        threshold = float(np.quantile(list(expected.values()), place))
        lims, scores, ids = self.index.range_search(q, self.sign * threshold, nprobe=self.nlist)
        assert lims.tolist() == [0, len(ids)]
        check_range(self.sign * scores, ids, expected, threshold, self.tolerance)

    @precondition(lambda self: len(self.model.vectors) > 1)
    @rule(place=st.integers(0, 10_000), k=st.sampled_from([1, 7]))
    def search_by_id(self, place, k):
        own = int(self.model.ids[place % len(self.model.vectors)])
        scores, ids = self.index.search_ids(own, k, nprobe=self.nlist)
        expected = self.model.scores(self.model.vectors[own])
        del expected[own]
        if self.refine is None:
            check_top(scores[0], ids[0], expected, k, self.tolerance, self.sign)
        else:
            assert own not in ids

    @rule(how=st.sampled_from(["bytes", "pickle", "file", "mapped"]))
    def save_and_load(self, how):
        if how == "bytes":
            self.index = iq.Index.from_bytes(self.index.to_bytes())
        elif how == "pickle":
            self.index = pickle.loads(pickle.dumps(self.index))
        else:
            with tempfile.TemporaryDirectory() as folder:
                iq.save(self.index, Path(folder) / "index")
                self.index = iq.load(Path(folder) / "index", mmap=how == "mapped")
                len(self.index.ids())  # a mapped file is read when it is first needed, and gone after this

    @rule()
    def reset(self):
        self.index.reset()
        self.model = Model(self.metric)

    @invariant()
    def holds_what_it_should(self):
        if not hasattr(self, "model"):
            return
        assert len(self.index) == self.index.ntotal == len(self.model.vectors)
        np.testing.assert_array_equal(self.index.ids(), self.model.ids)
        assert 123_456 not in self.index
        if self.model.vectors:
            assert int(self.model.ids[-1]) in self.index
            np.testing.assert_array_equal(
                self.index.reconstruct(self.model.ids), np.array(list(self.model.vectors.values()), dtype=np.float32)
            )


@pytest.fixture(autouse=True)
def early_compaction(monkeypatch):
    """Close up room in small indexes too."""
    monkeypatch.setattr(content, "COMPACT_LEAST", 3)


class TestIndex(Machine.TestCase):
    settings = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # what fails is found again at once; shrinking can take minutes
        suppress_health_check=list(HealthCheck),
    )
