"""``docs/format.md`` is true: the reader printed there, which knows nothing else, reads what the package writes."""

import re
from pathlib import Path

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.storage import segment
from ipaq_index.storage.record import FILLER, LETTERS, OFFSET
from tests.storage import craft, crash
from tests.storage.golden import FOLDER, grown, held
from tests.storage.made import Made, frozen

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
X = np.random.default_rng(0).standard_normal((120, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def read_index():
    """Return the page's reader, run as it stands there."""
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(code) == 1
    assert "ipaq" not in code[0]
    names = {}
    exec(code[0], names)
    return names["read_index"]


@pytest.mark.parametrize(("name", "expected"), [("format2", held), ("format2-commits", grown)])
def test_the_page_reads_golden_files(read_index, name, expected):
    assert frozen(*read_index((FOLDER / f"{name}.ipaq").read_bytes())) == frozen(*expected())


KINDS = [
    {},
    {"metric": "l2", "encoding": "scalar", "bits": 2.5},
    {"nlist": 3, "refine": "sq8", "encoding": "scalar"},
    {"metric": "l2", "nlist": 2, "refine": "fp16", "encoding": "scalar"},
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the bytes of files of every kind, written whole, synced, and synced after removals and additions."""
    path, found = tmp_path_factory.mktemp("files") / "a", []
    iq.save(iq.Index(6), path)
    found.append(path.read_bytes())
    for kind in KINDS:
        index = iq.Index(6, **kind).build(X[:80])
        path.unlink()
        index.sync(path)
        found.append(path.read_bytes())
        index.add(X[80:], ids=np.arange(1000, 960, -1))  # an order of its own
        index.sync(path)
        found.append(path.read_bytes())
        index.remove([3, 999])
        index.sync(path)
        found.append(path.read_bytes())
    long_codes = iq.Index(40, encoding="scalar").build(np.tile(X, 7)[:, :40])
    half_a_bit = iq.Index(40, bits=0.5, states=8).build(np.random.default_rng(1).standard_normal((400, 40)))
    return [*found, bytes(long_codes.to_bytes()), bytes(half_a_bit.to_bytes())]


def test_the_page_reads_what_is_written(read_index, files):
    for data in files:
        assert frozen(*read_index(data)) == frozen(*craft.read(data))
        assert frozen(*read_index(data + b"left over")) == frozen(*craft.read(data))


def test_the_page_names_every_array(files):
    names = {name for data in files for name in craft.read(data)[1]}
    rows = re.findall(r"^\| (`[a-z].*?) \|", PAGE.split("**Arrays**")[1].split("**Writing.**")[0], re.MULTILINE)
    told = set()
    for row in rows:
        first, *others = re.findall(r"`(.*?)`", row)
        told |= {first} | {first.split(".")[0] + other if other.startswith(".") else other for other in others}
    assert names == told


@pytest.mark.parametrize("commits", [0, 1])
def test_the_page_finds_every_flipped_bit_and_every_cut(read_index, tmp_path, commits):
    index = Made(a=np.arange(90, dtype=np.uint8))
    index.sync(tmp_path / "a")
    for _ in range(commits):
        index.arrays["a"] = np.append(index.arrays["a"], np.uint8(3))
        index.sync(tmp_path / "a")
    data = bytearray((tmp_path / "a").read_bytes())
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            read_index(bytes(data))
        data[bit // 8] ^= 1 << bit % 8
    for length in range(len(data)):
        with pytest.raises(Exception):  # noqa: B017  # whatever the reader of the page runs into
            read_index(bytes(data[:length]))
    assert frozen(*read_index(bytes(data))) == index.snapshot()


def test_the_page_reads_what_a_crash_leaves(read_index, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        recorder = crash.Recorder(tmp_path, "a").install(patched)
        index, snapshots = Made(a=np.arange(700, dtype=np.uint8)), []
        for value in range(3):
            index.arrays["a"] = np.append(index.arrays["a"] + 1, np.uint8(value))
            index.sync(tmp_path / "a")
            recorder.done()
            snapshots.append(index.snapshot())
        recorder.close()
    rng, tried = np.random.default_rng(0), 0
    for cut in range(len(recorder.events) + 1):
        for done, content in crash.states(recorder.events[:cut], rng, samples=5):
            if content is not None:
                assert frozen(*read_index(content)) in snapshots[max(done - 1, 0) : done + 1]
                tried += 1
    assert tried > 50


def test_the_page_names_what_the_code_uses():
    for magic in (segment.MAGIC, segment.COMMIT_MAGIC):
        assert "`" + magic.hex(" ").upper() + "`" in PAGE
    assert f"`{LETTERS.decode()}`" in PAGE
    assert f"`{FILLER.decode()}`" in PAGE
    assert f"`{' '.join(segment.DTYPES)}`" in PAGE
    assert f"format version, {segment.VERSION} " in PAGE
    assert (segment.PREAMBLE.size, OFFSET, segment.ALIGN) == (56, 64, 64)
