"""Files: what is loaded answers as what was saved; damage is found and named; a failed save harms nothing."""

import os
import struct

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.storage import IndexFileError, segment
from tests import brute_force
from tests.storage.craft import read, rewrite, sealed

D = 9


@pytest.fixture(scope="module")
def x():
    return brute_force.clustered(150, D, seed=3)


@pytest.fixture(scope="module")
def index(x):
    return iq.Index(D, bits=3).build(x[:100], ids=np.arange(100) * 7)


@pytest.fixture
def saved(index, tmp_path):
    path = tmp_path / "small.ipaq"
    iq.save(index, path)
    return path


def same_answers(a, b, q):
    for one, other in zip(a.search(q, 7), b.search(q, 7), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_loaded_answers_as_saved_and_grows(x, tmp_path, metric, mmap):
    index = iq.Index(D, metric=metric, seed=5).build(x[:70])
    iq.save(index, tmp_path / "a")
    loaded = iq.load(tmp_path / "a", mmap=mmap)
    assert (loaded.metric, loaded.ntotal, loaded.bytes_per_vector) == (metric, 70, index.bytes_per_vector)
    same_answers(index, loaded, x[100:])
    for one in (index, loaded):
        one.add(x[70:100])
    same_answers(index, loaded, x[100:])
    iq.save(loaded, str(tmp_path / "a"))
    same_answers(index, iq.load(tmp_path / "a"), x[100:])


def test_ids_are_kept(x, index, saved):
    loaded = iq.load(saved)
    same_answers(index, loaded, x[100:])
    loaded.add(x[100:101])
    assert loaded.reconstruct([99 * 7 + 1]).shape == (1, D)


def test_an_untrained_and_an_empty_index(x, tmp_path):
    iq.save(iq.Index(D, bits=2.5, metric="l2"), tmp_path / "a")
    loaded = iq.load(tmp_path / "a")
    assert not loaded.is_trained
    assert loaded.bytes_per_vector == iq.Index(D, bits=2.5, metric="l2").bytes_per_vector
    iq.save(iq.Index(D).train(x), tmp_path / "a")
    loaded = iq.load(tmp_path / "a")
    assert loaded.is_trained
    assert loaded.ntotal == 0
    assert (loaded.search(x[:1], 2)[1] == -1).all()


def test_saving_twice_gives_the_same_bytes(index, saved, tmp_path):
    iq.save(iq.load(saved), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_every_section_is_aligned(saved):
    data = np.fromfile(saved, dtype=np.uint8)
    assert len(data) % segment.ALIGN == 0
    _, arrays = read(data)
    assert {"blocks", "side", "ids"} <= set(arrays)
    for array in arrays.values():
        offset = array.__array_interface__["data"][0] - data.__array_interface__["data"][0]
        assert offset % segment.ALIGN == 0


def test_every_flipped_bit_is_found(saved):
    data = np.fromfile(saved, dtype=np.uint8)
    rng = np.random.default_rng(0)
    # Every byte once, a random bit of it: a digest that covers a byte covers its eight bits.
    for place in range(len(data)):
        bit = np.uint8(1 << rng.integers(8))
        data[place] ^= bit
        with pytest.raises(IndexFileError):
            read(data)
        data[place] ^= bit
    read(data)


def test_damage_names_the_section(saved):
    data = np.fromfile(saved, dtype=np.uint8)
    _, arrays = read(data)
    for name, array in arrays.items():
        place = array.__array_interface__["data"][0] - data.__array_interface__["data"][0]
        saved.write_bytes(bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place + 1 :]))
        with pytest.raises(IndexFileError, match=rf"small\.ipaq: section '{name}': damaged"):
            iq.load(saved)


def test_every_truncation_is_found(saved):
    data = np.fromfile(saved, dtype=np.uint8)
    for length in range(len(data)):
        with pytest.raises(IndexFileError):
            read(data[:length])
    # What is appended was never committed, as after an interrupted sync.
    assert read(np.append(data, data[:100]))[0] == read(data)[0]


@pytest.mark.parametrize("mmap", [False, True])
def test_other_files_are_refused(tmp_path, mmap):
    path = tmp_path / "a"
    for content, message in ((b"", "expected at least 64 bytes, got 0"), (b"x" * 100, "not an ipaq_index file")):
        path.write_bytes(content)
        with pytest.raises(IndexFileError, match=message):
            iq.load(path, mmap=mmap)
    with pytest.raises(FileNotFoundError):
        iq.load(tmp_path / "none", mmap=mmap)


def test_a_newer_file_is_refused_with_advice(saved):
    data = bytearray(saved.read_bytes())
    struct.pack_into("<I", data, 8, segment.VERSION + 1)
    saved.write_bytes(sealed(data[:64]) + data[64:])
    with pytest.raises(IndexFileError, match=r"newer ipaq_index \(format 3\).* upgrade with"):
        iq.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda state, arrays: arrays.pop("blocks"),
        lambda state, arrays: arrays.update(blocks=arrays["blocks"][:1]),
        lambda state, arrays: arrays.update(side=arrays["side"].astype(np.float32)),
        lambda state, arrays: arrays.update(ids=arrays["ids"][:5]),
        lambda state, arrays: arrays.update(ids=np.zeros_like(arrays["ids"])),
        lambda state, arrays: state.update(count=10**15),
        lambda state, arrays: state.update(count=-1),
        lambda state, arrays: state["config"].update(dim=5),
        lambda state, arrays: state["config"].update(nonsense=5),
        lambda state, arrays: state.pop("config"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(saved, change):
    rewrite(saved, change)
    with pytest.raises(IndexFileError, match=r"small\.ipaq"):
        iq.load(saved)


def test_a_failed_save_leaves_the_old_file(x, index, saved, monkeypatch):
    before = saved.read_bytes()

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        iq.save(iq.Index(D).build(x), saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_permissions_follow_the_replaced_file(index, saved):
    saved.chmod(0o640)
    iq.save(index, saved)
    assert saved.stat().st_mode & 0o777 == 0o640


def test_save_takes_an_index(tmp_path):
    with pytest.raises(TypeError, match=r"index: expected an ipaq_index.Index, got dict"):
        iq.save({}, tmp_path / "a")
    assert not (tmp_path / "a").exists()
