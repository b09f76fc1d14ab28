"""Files that older versions wrote load, and this version still writes what it wrote."""

import shutil

import numpy as np
import pytest

from ipaq_index import storage
from ipaq_index.storage.contents import Contents
from ipaq_index.storage.journal import Journal, remember
from tests.storage.craft import made
from tests.storage.golden import FOLDER, grown, held
from tests.storage.made import Made, frozen, snapshot_of


@pytest.mark.parametrize(
    ("name", "expected"), [("format1", held), ("format2", held), ("format2-commits", grown)], ids=lambda v: str(v)
)
def test_golden_files_hold_what_they_held(name, expected):
    assert snapshot_of((FOLDER / f"{name}.ipaq").read_bytes()) == frozen(*expected())


def test_this_version_writes_the_same_bytes(tmp_path):
    state, arrays = held()
    assert made(state, arrays) == (FOLDER / "format2.ipaq").read_bytes()
    index = Made(**arrays)
    index.state = state
    index.sync(tmp_path / "a")
    index.state, index.arrays = grown()
    index.sync(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == (FOLDER / "format2-commits.ipaq").read_bytes()


def test_big_endian_arrays_are_written_as_little_endian():
    state, arrays = held()
    swapped = {name: a.astype(a.dtype.newbyteorder(">")) for name, a in arrays.items()}
    assert made(state, swapped) == made(state, arrays)


def test_a_file_of_format_1_is_upgraded_by_the_first_sync(tmp_path):
    target = tmp_path / "a"
    shutil.copy(FOLDER / "format1.ipaq", target)
    assert storage.describe(target)["format"] == 1
    state, arrays = held()
    index = Made(**arrays)
    index.state = state
    remember(index, target, Journal(Contents(np.fromfile(target, dtype=np.uint8)).last))
    index.sync(target)
    assert storage.describe(target)["format"] == 2
    assert snapshot_of(target.read_bytes()) == index.snapshot()


def test_a_dtype_that_the_format_does_not_know_is_refused_before_anything_is_written(tmp_path):
    index = Made(a=np.zeros(3, dtype=np.complex64))
    with pytest.raises(TypeError, match=r"section 'a': expected a dtype of .*, got complex64"):
        index.sync(tmp_path / "a")
    assert not list(tmp_path.iterdir())
