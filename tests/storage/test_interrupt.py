"""Ctrl-C ends long calls and leaves the index as it was; slicing them for it changes no answer."""

import threading
import time

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index import interruptible
from ipaq_index.interruptible import apart, mapped, slices
from ipaq_index.scan import search
from tests import brute_force
from tests.storage.interrupt import interrupted


@pytest.mark.parametrize("name", ["build", "search"])
def test_ctrl_c_ends_a_long_call_and_leaves_the_index(name):
    """The calls take a minute or more; how soon they end is measured by ``python -m tests.storage.interrupt``."""
    assert interrupted(name, 0.5)[1] == ["ready", "stopped", "as it was"]


@pytest.mark.parametrize("total", [0, 1, 15, 16, 17, 1000])
@pytest.mark.parametrize("least", [1, 16])
def test_slices_cover_everything_once(monkeypatch, total, least):
    monkeypatch.setattr(interruptible, "FIRST", 40)
    found = list(slices(total, 2.0, least))
    assert [n for first, last in found for n in range(first, last)] == list(range(total))
    assert all(first % least == 0 for first, _ in found)


def test_slices_follow_the_clock(monkeypatch):
    clock = iter(np.cumsum([0, 1e-3, 0, 1e-3, 0, 50, 0, 50, 0, 0.1, 0, 0.1, 0, 0.1]).tolist())
    monkeypatch.setattr(interruptible, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(interruptible, "FIRST", 100)
    found = slices(10**6, 1)
    assert [last - first for (first, last), _ in zip(found, range(6), strict=False)] == [100, 200, 400, 100, 25, 25]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_fault_stops_the_others(fault):
    """Jobs that would go on for ever end with the one that fails, and those not begun never begin."""
    begun = []

    def work(job):
        begun.append(job)
        if job == 1:
            raise fault
        while list(slices(3, 1)):
            time.sleep(0.001)

    with pytest.raises(fault):
        mapped(work, range(50), 2)
    assert len(begun) < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_apart_gives_results_and_faults():
    assert apart(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        apart(lambda: 1 / 0)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("nlist", [None, 7])
@pytest.mark.parametrize("refine", [None, "sq8"])
def test_slices_change_no_answer(monkeypatch, metric, nlist, refine):
    x = brute_force.clustered(700, 6, seed=1)
    q, mask = x[::3] + np.float32(0.1), np.arange(700) % 3 > 0

    def answers():
        index = iq.Index(6, metric=metric, nlist=nlist, refine=refine, states=8, threads=2).build(x)
        found = [index.search(part, 5, nprobe=nlist and probes) for part in (q, q[:3]) for probes in (1, 4, 7)]
        found += [index.search(part, 5, filter=allowed) for part in (q, q[:1]) for allowed in (mask, [3, 14, 15])]
        return [index.to_bytes(), *(a.tobytes() for pair in found for a in pair), index.range_search(q, 0.5)[2]]

    whole = answers()
    monkeypatch.setattr(interruptible, "FIRST", 1000)
    monkeypatch.setattr(interruptible, "PERIOD", 1e-6)
    monkeypatch.setattr(search, "FIRST", 1000)
    monkeypatch.setattr(search, "SMALL", 0)
    for one, other in zip(answers(), whole, strict=True):
        np.testing.assert_array_equal(one, other)
