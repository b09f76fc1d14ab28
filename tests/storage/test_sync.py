"""sync: the file holds what the index holds, by appending little; nobody else's commits are overwritten."""

import gc
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ipaq_index as iq
from ipaq_index import storage
from ipaq_index.storage import IndexFileError, disk
from ipaq_index.storage.journal import CHUNK
from tests import brute_force
from tests.storage.made import Made, snapshot_of

D = 5


@pytest.fixture(scope="module")
def x():
    return brute_force.clustered(400, D, seed=4)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "a.ipaq"


def same_answers(a, b, q):
    assert a.ntotal == b.ntotal
    for one, other in zip(a.search(q, 7), b.search(q, 7), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("mmap", [False, True])
def test_what_is_added_is_appended_and_loaded(x, target, metric, mmap):
    index = iq.Index(D, metric=metric).build(x[:150], ids=np.arange(150) * 3)
    assert index.sync(target) == target.stat().st_size
    for first in range(150, 300, 50):
        before = target.stat().st_size
        index.add(x[first : first + 50])
        written = index.sync(target)
        assert 0 < written == target.stat().st_size - before < before
        loaded = iq.load(target, mmap=mmap)
        same_answers(loaded, index, x[300:])
    loaded.add(x[300:310])
    assert 0 < loaded.sync(target) < before
    same_answers(iq.load(target), loaded, x[300:])


def test_nothing_changed_writes_nothing(x, target):
    index = iq.Index(D).build(x[:50])
    index.sync(target)
    content = target.read_bytes()
    assert index.sync(target) == 0
    assert iq.load(target).sync(target) == 0
    assert iq.load(target, mmap=True).sync(target) == 0
    assert target.read_bytes() == content


def test_an_untrained_index_is_synced_and_trained_later(x, target):
    index = iq.Index(D)
    index.sync(target)
    assert not iq.load(target, mmap=True).is_trained
    index.build(x)
    index.sync(target)
    same_answers(iq.load(target), index, x)


@st.composite
def histories(draw):
    """Return arrays after each of a few changes: grown, cut, overwritten, removed, of another dtype."""
    size = st.integers(0, 3 * CHUNK // 2)
    steps = []
    for _ in range(draw(st.integers(2, 5))):
        rng = np.random.default_rng(draw(st.integers(0, 3)))
        arrays = {}
        for name in draw(st.sets(st.sampled_from("abc"))):
            dtype = draw(st.sampled_from(["u1", "<u2", "<i8"]))
            array = rng.integers(0, 100, draw(size)).astype(dtype)
            if draw(st.booleans()) and len(array):
                array[draw(st.integers(0, len(array) - 1)) :] += 1
            arrays[name] = array[: len(array) // 2 * 2].reshape(2, -1) if draw(st.booleans()) else array
        steps.append((arrays, draw(st.integers(0, 2))))
    return steps


@settings(max_examples=60, deadline=None)
@given(histories())
def test_any_history_is_held(tmp_path_factory, history):
    target = tmp_path_factory.mktemp("h") / "a"
    index = Made()
    for arrays, count in history:
        index.arrays, index.state = arrays, {"count": count, "config": {"dim": D}}
        index.sync(target)
        assert snapshot_of(target.read_bytes()) == index.snapshot()


def test_a_change_in_place_writes_its_chunk(target):
    index = Made(a=np.zeros(100 * CHUNK, dtype=np.uint8))
    index.sync(target)
    index.arrays["a"][50 * CHUNK + 7] = 1
    assert CHUNK < index.sync(target) < CHUNK + 2000
    index.arrays["a"] = np.append(index.arrays["a"], np.uint8(1))
    assert index.sync(target) < 2000
    assert snapshot_of(target.read_bytes()) == index.snapshot()


def test_compaction(target):
    index = Made(a=np.zeros(40 * CHUNK, dtype=np.uint8))
    index.sync(target)
    for value in range(1, 8):
        index.arrays["a"][:] = value
        index.sync(target)
        assert target.stat().st_size < 4 * index.arrays["a"].nbytes
        assert snapshot_of(target.read_bytes()) == index.snapshot()
    index.arrays["a"][0] ^= 255
    index.sync(target)
    assert storage.describe(target)["replaced"]
    written = storage.sync(index, target, compact=True)
    assert written == target.stat().st_size
    assert (storage.describe(target)["commits"], storage.describe(target)["replaced"]) == (0, 0)
    assert snapshot_of(target.read_bytes()) == index.snapshot()


def test_somebody_elses_commit_is_not_overwritten(x, target):
    one = iq.Index(D).build(x[:50])
    one.sync(target)
    other = iq.load(target)
    other.add(x[50:60])
    other.sync(target)
    content = target.read_bytes()
    one.add(x[60:70])
    with pytest.raises(IndexFileError, match=r"a\.ipaq: changed by somebody else.*load it.*or save"):
        one.sync(target)
    assert target.read_bytes() == content
    iq.save(one, target)
    same_answers(iq.load(target), one, x)
    one.add(x[70:80])
    one.sync(target)
    same_answers(iq.load(target), one, x)


def test_a_file_that_has_gone_is_written_whole(x, target):
    index = iq.Index(D).build(x[:50])
    index.sync(target)
    target.unlink()
    assert index.sync(target) == target.stat().st_size


def test_two_files_are_kept_apart(x, tmp_path):
    index = iq.Index(D).build(x[:50])
    for name in ("a", "b", "a", "b"):
        index.add(x[len(index) : len(index) + 5])
        index.sync(tmp_path / name)
        same_answers(iq.load(tmp_path / name), index, x)
    assert storage.describe(tmp_path / "a")["commits"] == 1


def test_damage_is_not_built_upon(x, target):
    index = iq.Index(D).build(x[:50])
    index.sync(target)
    loaded = iq.load(target, mmap=True)
    raw = bytearray(target.read_bytes())
    raw[-64] ^= 1
    target.write_bytes(raw)
    loaded.build(x)
    with pytest.raises(IndexFileError, match="damaged"):
        loaded.sync(target)


@pytest.mark.parametrize("fails", ["write", "flush"])
def test_an_append_that_fails_leaves_the_old_file(x, target, monkeypatch, fails):
    index = iq.Index(D).build(x[:50])
    index.sync(target)
    content = target.read_bytes()
    index.add(x[50:60])
    with monkeypatch.context() as patched:
        patched.setattr(disk, fails, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            index.sync(target)
    assert target.read_bytes() == content
    index.sync(target)
    same_answers(iq.load(target), index, x)


@pytest.mark.parametrize("moment", range(4))
def test_an_interrupt_at_the_commit_is_remembered(x, target, monkeypatch, moment):
    """Ctrl-C before or after a write or flush of data or record: the next sync knows which it was."""
    index = iq.Index(D).build(x[:50])
    index.sync(target)
    index.add(x[50:60])
    true, calls = disk.flush, []

    def flush(handle):
        calls.append(handle)
        if len(calls) == 1 + moment // 2 and moment % 2 == 0:
            raise KeyboardInterrupt
        true(handle)
        if len(calls) == 1 + moment // 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(disk, "flush", flush)
        with pytest.raises(KeyboardInterrupt):
            index.sync(target)
    assert len(iq.load(target)) in (50, 60)
    index.add(x[60:70])
    index.sync(target)
    same_answers(iq.load(target), index, x)


def limited(code: str, path: Path, limit: int) -> str:
    """Run code in a process that may not write files longer than ``limit`` bytes, as on a full disk."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FULL_DISK = """
import signal, sys
import ipaq_index as iq
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with EFBIG, as on a full disk with ENOSPC
index = iq.load(sys.argv[1])
for call in (lambda: iq.save(index, sys.argv[1]), lambda: iq.sync(index, sys.argv[1], compact=True)):
    try:
        call()
    except OSError as error:
        print(type(error).__name__, error.errno)
"""


def test_a_full_disk_leaves_the_old_file_whole(x, target):
    index = iq.Index(D).build(x[:300])
    index.sync(target)
    content = target.read_bytes()
    assert limited(FULL_DISK, target, len(content) - 1) == "OSError 27\n" * 2
    assert target.read_bytes() == content
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_what_a_killed_process_left_is_removed(x, target):
    index = iq.Index(D).build(x[:50])
    left = target.with_name(f".{target.name}.0123.part")
    other = target.with_name(f".{target.name}2.0123.part")
    left.write_bytes(b"unfinished")
    other.write_bytes(b"somebody else's")
    index.sync(target)
    assert not left.exists()
    assert other.exists()


def grow(path: str, first: int) -> None:
    """Add ten times ten vectors with ids of one's own, loading anew whenever another process was faster."""
    x = brute_force.clustered(400, D, seed=4)
    for i in range(first, first + 100, 10):
        while True:
            index = iq.load(path)
            index.add(x[:10], ids=np.arange(i, i + 10))
            try:
                index.sync(path)
                break
            except IndexFileError as error:
                assert "changed by somebody else" in str(error)


def test_two_processes_lose_nothing(x, target):
    iq.Index(D).build(x[:50], ids=np.arange(50)).sync(target)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=grow, args=(str(target), first)) for first in (1000, 2000)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    loaded = iq.load(target)
    assert loaded.ntotal == 250
    loaded.reconstruct([*range(50), *range(1000, 1100), *range(2000, 2100)])


def test_a_mapped_index_survives_syncs_and_saves_of_its_file(x, target):
    index = iq.Index(D).build(x[:100])
    index.sync(target)
    mapped = iq.load(target, mmap=True)
    before = mapped.search(x[:9], 5)
    index.add(x[100:200])
    index.sync(target)
    iq.save(index, target)
    gc.collect()
    for one, other in zip(mapped.search(x[:9], 5), before, strict=True):
        np.testing.assert_array_equal(one, other)
    iq.save(mapped, target)
    same_answers(iq.load(target), mapped, x)
