"""Every flipped bit and every cut is found, in saved files and in those that grew by commits."""

import re

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.storage import IndexFileError, segment
from ipaq_index.storage.contents import Contents
from ipaq_index.storage.record import LETTERS, OFFSET, CommitRecord, read_record
from tests.storage import damage
from tests.storage.craft import sealed
from tests.storage.made import Made, snapshot_of


def small(tmp_path, commits):
    """Return a small file of several sections that grew by some commits, and what it holds."""
    index = Made(a=np.arange(90, dtype=np.uint8), b=np.arange(12.0).reshape(3, 4), empty=np.zeros((0, 3), np.uint16))
    index.sync(tmp_path / "a")
    for _ in range(commits):
        index.arrays["a"] = np.append(index.arrays["a"], np.uint8(3))
        index.arrays["b"] = index.arrays["b"] * 2
        index.sync(tmp_path / "a")
    return (tmp_path / "a").read_bytes(), index.snapshot()


@pytest.mark.parametrize("commits", [0, 2])
def test_every_single_bit_flip_is_found(tmp_path, commits):
    content, _ = small(tmp_path, commits)
    data = np.frombuffer(content, dtype=np.uint8).copy()
    for place in range(len(data)):
        for bit in range(8):
            data[place] ^= 1 << bit
            with pytest.raises(IndexFileError):
                Contents(data).verify()
            data[place] ^= 1 << bit
    Contents(data).verify()


@pytest.mark.parametrize("commits", [0, 2])
def test_every_cut_is_found(tmp_path, commits):
    content, held = small(tmp_path, commits)
    for length in range(len(content)):
        with pytest.raises(IndexFileError, match=r"cut short|at least"):
            snapshot_of(content[:length])
    assert snapshot_of(content) == held


def test_bits_of_a_large_file(tmp_path):
    damage.large_file(tmp_path / "a", 1)
    assert damage.missed(tmp_path / "a", 1_000) == []


@pytest.mark.parametrize("mmap", [False, True])
def test_damage_names_file_section_and_commit(tmp_path, mmap):
    x = np.random.default_rng(0).standard_normal((60, 4))
    index = iq.Index(4).build(x)
    index.sync(tmp_path / "a.ipaq")
    index.add(x)
    index.sync(tmp_path / "a.ipaq")
    content = (tmp_path / "a.ipaq").read_bytes()
    for part in Contents(np.frombuffer(content, dtype=np.uint8)).segments:
        for entry in part.entries:
            for patch in entry.patches:
                damaged = bytearray(content)
                damaged[patch.offset + patch.bytes // 2] ^= 4
                (tmp_path / "a.ipaq").write_bytes(damaged)
                of = "" if part.name == "file" else f" of {part.name}"
                message = rf"a\.ipaq: section '{re.escape(entry.name)}'{of}: damaged"
                if mmap:
                    loaded = iq.load(tmp_path / "a.ipaq", mmap=True)
                    assert (loaded.is_trained, loaded.ntotal) == (True, 120)
                    for _ in range(2):  # it stays an error
                        with pytest.raises(IndexFileError, match=message):
                            loaded.search(x[:1])
                    with pytest.raises(IndexFileError, match=message):
                        iq.load(tmp_path / "a.ipaq", mmap=True, verify=True)
                with pytest.raises(IndexFileError, match=message):
                    iq.load(tmp_path / "a.ipaq")
                with pytest.raises(IndexFileError, match=message):
                    iq.verify(tmp_path / "a.ipaq")
                with pytest.raises(IndexFileError, match=message[9:]):
                    iq.Index.from_bytes(damaged)


def test_a_torn_record_is_told_from_a_damaged_one():
    old, new = CommitRecord(1000, 12345678901234567890).pack(), CommitRecord(2000, 98765432109876543).pack()
    rng = np.random.default_rng(0)
    for _ in range(200):
        torn = bytes(a if rng.random() < 0.5 else b for a, b in zip(old, new, strict=True))
        assert read_record(torn) is None or torn in (old, new)
    for place in range(64):
        for bit in range(8):
            damaged = bytearray(new)
            damaged[place] ^= 1 << bit
            with pytest.raises(IndexFileError, match="commit record: damaged"):
                read_record(bytes(damaged))
    assert read_record(new) == (2000, 98765432109876543)
    assert all(letter.bit_count() % 2 == 0 for letter in LETTERS + new[48:])


def flagged(content, **fields):
    """Return a file's bytes with fields of its first preamble changed, all digests right."""
    head = segment.Preamble(*segment.PREAMBLE.unpack(content[:56]))._replace(**fields).pack()
    record = CommitRecord(len(content), int.from_bytes(head[56:], "little")).pack()
    assert head == sealed(head)
    return head + record + content[OFFSET + 64 :]


def test_unknown_features(tmp_path):
    content, held = small(tmp_path, 0)
    assert flagged(content) == content
    assert snapshot_of(flagged(content, offers=1 << 31 | 1)) == held
    with pytest.raises(IndexFileError, match=r"needs features .*bits 0x80000002.*upgrade"):
        snapshot_of(flagged(content, needs=0x80000002))
    with pytest.raises(IndexFileError, match=r"newer ipaq_index \(format 3\).*formats 1 to 2.*upgrade.*or save"):
        snapshot_of(flagged(content, version=3))
    with pytest.raises(IndexFileError, match="reserved"):
        snapshot_of(flagged(content, zero=1))
