"""A crash at any moment, with any part of the unflushed writes on the medium, loses nothing that was committed."""

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.storage import IndexFileError
from ipaq_index.storage.journal import CHUNK
from tests.storage import crash
from tests.storage.made import Made, snapshot_of


def changes(index, rng):
    """Change the index step by step as searches of a living one would see it: grow, overwrite, shrink, replace."""
    codes, marks = index.arrays["codes"], index.arrays["marks"]
    index.arrays["codes"] = np.concatenate([codes, rng.integers(0, 256, (40, 24), dtype=np.uint8)])
    yield
    changed = marks.copy()
    changed[:: 1 + CHUNK] ^= 255
    changed[-1] ^= 1
    index.arrays["marks"] = changed
    index.state["count"] = 5
    yield
    index.arrays["ids"] = rng.integers(0, 1 << 60, 100)
    index.arrays["codes"] = index.arrays["codes"][:20]
    yield
    index.arrays["ids"] = index.arrays["ids"][:0]
    index.arrays["codes"] = rng.integers(0, 256, (CHUNK // 24 + 9, 24), dtype=np.uint8)
    yield
    del index.arrays["ids"]
    yield
    index.state["count"] = 6
    yield


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Return the events of a series of syncs and saves, and what the file may hold after so many calls."""
    rng = np.random.default_rng(0)
    index = Made(
        codes=rng.integers(0, 256, (70, 24), dtype=np.uint8),
        marks=rng.integers(0, 256, 2 * CHUNK + 700, dtype=np.uint8),
    )
    recorder = crash.Recorder(tmp_path, "a").install(monkeypatch)
    target = tmp_path / "a"
    snapshots = [None]

    def made(call):
        call()
        recorder.done()
        snapshots.append(index.snapshot())
        assert snapshot_of(target.read_bytes()) == snapshots[-1]

    made(lambda: index.sync(target))
    for number, _ in enumerate(changes(index, rng)):
        made(lambda: index.sync(target))
        if number == 2:
            index.state["count"] = 77
            made(lambda: iq.sync(index, target, compact=True))
        if number == 4:
            index.state["count"] = 78
            made(lambda: iq.save(index, target))
    yield recorder.events, snapshots
    recorder.close()


def test_every_crash_leaves_the_last_commit(recorded):
    events, snapshots = recorded
    rng = np.random.default_rng(1)
    tried = 0
    for cut in range(len(events) + 1):
        for done, content in crash.states(events[:cut], rng, samples=40):
            held = None if content is None else snapshot_of(content)
            assert held in snapshots[done : done + 2], f"after {cut} events, {done} calls"
            tried += 1
    assert tried > 1000


def test_every_byte_of_an_append_and_a_commit(tmp_path, monkeypatch):
    """Crash at each byte of each write of one sync, written in order."""
    recorder = crash.Recorder(tmp_path, "a").install(monkeypatch)
    index, target = Made(codes=np.arange(700, dtype=np.uint8), marks=np.zeros(9, dtype=np.int64)), tmp_path / "a"
    index.sync(target)
    before, old = target.read_bytes(), index.snapshot()
    recorder.events.clear()
    index.arrays |= {"codes": np.arange(900, dtype=np.uint8), "marks": np.arange(9)}
    index.sync(target)
    recorder.close()
    for event in recorder.events:
        if event.kind == "write":
            for content in crash.prefixes(before, event):
                assert snapshot_of(content) in (old, index.snapshot())
        if event.kind in ("write", "truncate"):
            before = crash.applied(before, event)
    assert before == target.read_bytes()
    assert snapshot_of(before) == index.snapshot()


def test_a_sync_after_a_crash_goes_on(tmp_path, monkeypatch):
    """Load what a crash left, change it, sync, compare: the left-over tail does no harm."""
    x = np.random.default_rng(0).standard_normal((90, 3)).astype(np.float32)
    target = tmp_path / "a"
    with monkeypatch.context() as patched:
        recorder = crash.Recorder(tmp_path, "a").install(patched)
        index = iq.Index(3, bits=2).build(x[:50])
        index.sync(target)
        index.add(x[50:70])
        index.sync(target)
        recorder.close()
    events, rng = recorder.events, np.random.default_rng(2)
    tried = 0
    for cut in range(len(events) + 1):
        for _, content in list(crash.states(events[:cut], rng, samples=2))[::3]:
            if content is None:
                continue
            target.write_bytes(content)
            survivor = iq.load(target, mmap=bool(tried % 2))
            assert len(survivor) in (50, 70)
            survivor.add(x[len(survivor) : 80])
            survivor.sync(target)
            loaded = iq.load(target)
            for one, other in zip(loaded.search(x, 5), survivor.search(x, 5), strict=True):
                np.testing.assert_array_equal(one, other)
            assert len(loaded) == 80
            tried += 1
    assert tried > 10


def test_the_simulation_finds_a_missing_flush(recorded):
    """Without the flush between data and commit record, there are crashes that lose data: the check can fail."""
    events, snapshots = recorded
    hasty = [
        event
        for i, event in enumerate(events)
        if not (event.kind == "flush" and i + 1 < len(events) and events[i + 1].kind == "write")
    ]
    assert len(hasty) < len(events)
    rng = np.random.default_rng(3)
    lost = 0
    for cut in range(len(hasty) + 1):
        for done, content in crash.states(hasty[:cut], rng, samples=6):
            try:
                held = None if content is None else snapshot_of(content)
                lost += held not in snapshots[done : done + 2]
            except IndexFileError:
                lost += 1
    assert lost
