"""Mapped files: opened without being read, their pages shared; copies and other processes answer alike."""

import copy
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index import storage
from tests.storage import mapped
from tests.storage.interrupt import D, long_index, many


def test_a_file_of_ten_gigabytes_is_opened_without_being_read(tmp_path):
    """How fast is measured by ``python -m tests.storage.mapped``: 0.4 ms."""
    path = tmp_path / "large.ipaq"
    mapped.sparse_file(path, 10)
    assert path.stat().st_size > 9.99e9
    assert path.stat().st_blocks * 512 < 1e6  # of it are on the disk
    index = iq.load(path, mmap=True)
    assert (len(index), index.dim, index.is_trained) == (storage.describe(path)["count"], D, True)
    assert len(index) > 3e8
    if Path("/proc/self/smaps").exists():
        assert mapped.memory_of(path)["Rss"] < 1000  # kilobytes


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's account of memory")
def test_processes_share_the_pages(tmp_path):
    path = tmp_path / "a.ipaq"
    iq.save(long_index(1 << 18), path)
    size = path.stat().st_size >> 10
    for memory in mapped.together(path, 2):
        assert memory["Rss"] > 0.8 * size
        assert memory["Private_Dirty"] == 0
        assert memory["Pss"] < 0.7 * size


def asked(index):
    """Run in another process: what it is sent, it searches, and sends back grown."""
    index.add(many(3))
    return index, index.search(many(5), 4)


@pytest.mark.parametrize("how", ["made", "loaded", "mapped", "mapped and searched"])
def test_copies_of_all_kinds_answer_alike(tmp_path, how):
    index = iq.Index(D, encoding="scalar").build(many(100), ids=np.arange(100) * 3)
    if how != "made":
        iq.save(index, tmp_path / "a")
        index = iq.load(tmp_path / "a", mmap=how != "loaded")
    if how == "mapped and searched":
        index.search(many(1))
    copies = [copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))]
    copies += [pickle.loads(pickle.dumps(index, protocol)) for protocol in (2, pickle.HIGHEST_PROTOCOL)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        grown, answers = pool.apply(asked, (index,))
    index_grown, expected = asked(copy.deepcopy(index))
    for one, other in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert grown.to_bytes() == index_grown.to_bytes()
    assert len(index) == 100
    for other in copies:
        assert other.to_bytes() == index.to_bytes()
        other.remove([3])
    assert 3 in index
