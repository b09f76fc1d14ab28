"""Files whose codes lie as in earlier versions are read, and answer alike."""

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.scan import Layout
from tests.brute_force import clustered
from tests.storage.craft import made, read


def as_version_1(index):
    """Return the index's bytes with codes as they lay up to November 2026."""
    state, arrays = read(index.to_bytes())
    bits = arrays["quantizer.bits"]
    now, before = Layout(bits), Layout(bits, 1)
    rest = arrays.pop("rest", np.zeros((len(arrays["blocks"]), 0, 32), dtype=np.uint8))
    symbols = now.unpack(arrays["blocks"], rest, np.arange(32 * len(rest)))
    parts = np.zeros((len(rest), before.pairs, 32), dtype=np.uint8), np.zeros((len(rest), 0, 32), dtype=np.uint8)
    before.pack(symbols, *parts, 0)
    arrays["blocks"] = parts[0]
    assert state.pop("layout") == 2
    return made(state, arrays)


@pytest.mark.parametrize(("dim", "bits", "nlist"), [(10, 4, None), (40, 4, None), (136, 4, 3), (136, 1.5, None)])
def test_version_1_is_read(dim, bits, nlist, tmp_path):
    x = clustered(500, dim, seed=1)
    index = iq.Index(dim, bits=bits, nlist=nlist).build(x)
    index.remove(np.arange(40))
    path = tmp_path / "old"
    path.write_bytes(as_version_1(index))
    for mmap in (False, True):
        old = iq.load(path, mmap=mmap)
        for one, other in zip(old.search(x[:20], 5), index.search(x[:20], 5), strict=True):
            np.testing.assert_array_equal(one, other)
    old.add(x[:40], ids=np.arange(40))
    iq.sync(old, path)
    again = iq.load(path)
    np.testing.assert_array_equal(again.search(x[:20], 5)[1], old.search(x[:20], 5)[1])
    assert again.to_bytes() == old.to_bytes()


@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_other_versions_are_refused(version):
    state, arrays = read(iq.Index(10, bits=4).build(clustered(100, 10, seed=1)).to_bytes())
    state["layout"] = version
    with pytest.raises(iq.IndexFileError, match="layout: expected 1 or 2"):
        iq.Index.from_bytes(made(state, arrays))


def test_small_budgets_have_one_side_byte_now_and_had_two():
    x = clustered(500, 50, seed=1)
    index = iq.Index(50, bits=0.48).build(x)
    assert (index.bytes_per_vector, iq.Index(50, bytes_per_vector=5).info()["bytes_beside"]) == (5, 1)
    state, arrays = read(index.to_bytes())
    state["config"] |= {"bits": None, "bytes_per_vector": 5}
    del state["config"]["scale_bytes"]
    old = iq.Index.from_bytes(made(state, arrays))
    assert old.info()["bytes_beside"] == 2
    for one, other in zip(old.search(x[:20], 5), index.search(x[:20], 5), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("dim", "budget", "options", "beside"),
    [(50, 9, {}, 1), (50, 10, {}, 2), (8, 3, {}, 2), (50, 13, {"metric": "l2"}, 5), (50, 56, {"refine": "sq8"}, 51)],
)
def test_bytes_beside_codes(dim, budget, options, beside):
    index = iq.Index(dim, bytes_per_vector=budget, **options).build(clustered(100, dim, seed=1))
    assert (index.info()["bytes_beside"], index.bytes_per_vector) == (beside, budget)
    assert index.search(clustered(100, dim, seed=1)[:3], 1)[1][:, 0].tolist() != [-1] * 3
