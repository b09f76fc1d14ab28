"""Every layout of vector files, written byte by byte here and read back; damaged ones are refused."""

import numpy as np
import pytest

from ipaq_index.integrations import vector_files as vf

ROWS = np.random.default_rng(0).standard_normal((37, 5)).astype(np.float32)
BYTES = np.arange(37 * 5, dtype=np.uint8).reshape(37, 5)


def write_vecs(path, rows):
    """Each row behind its dimension, value by value: texmex's own description."""
    with open(path, "wb") as file:
        for row in rows:
            file.write(np.int32(len(row)).tobytes() + row.tobytes())


def write_bin(path, rows):
    path.write_bytes(np.array(rows.shape, dtype="<u4").tobytes() + rows.tobytes())


def write_parquet(path, columns, group):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(columns), path, row_group_size=group)


@pytest.fixture
def files(tmp_path):
    """One file for each layout, with the rows it holds."""
    pa, h5py = pytest.importorskip("pyarrow"), pytest.importorskip("h5py")
    made = {}

    def at(name, rows):
        made[tmp_path / name] = rows
        return tmp_path / name

    np.save(at("a.npy", ROWS), ROWS)
    np.save(at("b.npy", ROWS.astype(np.float16)), ROWS.astype(np.float16))
    write_vecs(at("a.fvecs", ROWS), ROWS)
    write_vecs(at("a.bvecs", BYTES), BYTES)
    write_vecs(at("a.ivecs", BYTES.astype(np.int32)), BYTES.astype(np.int32))
    write_bin(at("a.fbin", ROWS), ROWS)
    write_bin(at("a.f16bin", ROWS.astype(np.float16)), ROWS.astype(np.float16))
    write_bin(at("a.u8bin", BYTES), BYTES)
    write_bin(at("a.i8bin", BYTES.astype(np.int8)), BYTES.astype(np.int8))
    with h5py.File(at("a.hdf5", ROWS), "w") as file:
        file["train"] = ROWS
    lists = pa.array(list(ROWS), type=pa.list_(pa.float32()))
    write_parquet(at("lists.parquet", ROWS), {"text": ["t"] * 37, "emb": lists}, 10)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), 5)
    write_parquet(at("fixed.parquet", ROWS), {"emb": fixed}, 100)
    write_parquet(at("wide.parquet", ROWS), {f"c{j}": ROWS[:, j] for j in range(5)}, 8)
    return made


def test_every_layout_gives_its_rows(files):
    picked = np.array([0, 9, 10, 11, 36])
    for path, rows in files.items():
        table = vf.open_vectors(path)
        assert (tuple(table.shape), len(table)) == ((37, 5), 37), path
        np.testing.assert_array_equal(table[picked], rows[picked], err_msg=str(path))
        np.testing.assert_array_equal(table[8:23], rows[8:23], err_msg=str(path))
        parts = list(vf.blocks(table, 10))
        assert [first for first, _ in parts] == [0, 10, 20, 30]
        whole = np.concatenate([part for _, part in parts])
        assert whole.dtype == np.float32
        np.testing.assert_array_equal(whole, rows.astype(np.float32), err_msg=str(path))


def test_a_part_is_named_behind_a_hash(tmp_path):
    h5py, pa = pytest.importorskip("h5py"), pytest.importorskip("pyarrow")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train"], file["test"], file["group/x"] = ROWS, ROWS[:3], ROWS
    assert vf.open_vectors(f"{tmp_path}/a.h5#test").shape == (3, 5)
    with pytest.raises(vf.VectorFileError, match="expected a data set 'nothing', got group, test, train"):
        vf.open_vectors(f"{tmp_path}/a.h5#nothing")
    with pytest.raises(vf.VectorFileError, match="got a group"):
        vf.open_vectors(f"{tmp_path}/a.h5#group")
    two = pa.array(list(ROWS[:, :2]), type=pa.list_(pa.float32()))
    write_parquet(tmp_path / "a.parquet", {"x": pa.array(list(ROWS)), "y": two}, 10)
    assert vf.open_vectors(f"{tmp_path}/a.parquet#y").shape == (37, 2)
    with pytest.raises(vf.VectorFileError, match="name the column after a #"):
        vf.open_vectors(tmp_path / "a.parquet")
    with pytest.raises(vf.VectorFileError, match="column of lists 'z', got x, y"):
        vf.open_vectors(f"{tmp_path}/a.parquet#z")


def test_damaged_files_are_refused(tmp_path, files):
    for suffix in (".fvecs", ".fbin", ".u8bin"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(vf.VectorFileError, match=f"a{suffix}: expected"):
            vf.open_vectors(path)
        path.write_bytes(b"")
        with pytest.raises(vf.VectorFileError, match="0 bytes"):
            vf.open_vectors(path)
    uneven = bytearray((tmp_path / "a.bvecs").read_bytes())
    uneven[9 * 20] = 4  # the dimension in front of row 20
    (tmp_path / "a.bvecs").write_bytes(uneven)
    table = vf.open_vectors(tmp_path / "a.bvecs")
    np.testing.assert_array_equal(table[:20], BYTES[:20])
    with pytest.raises(vf.VectorFileError, match="every row to have dimension 5"):
        table[15:25]
    (tmp_path / "a.npy").write_bytes(b"not an array")
    with pytest.raises(vf.VectorFileError, match="expected a NumPy array"):
        vf.open_vectors(tmp_path / "a.npy")
    np.save(tmp_path / "flat.npy", np.zeros(5))
    with pytest.raises(vf.VectorFileError, match=r"shape \(n, d\)"):
        vf.open_vectors(tmp_path / "flat.npy")
    with pytest.raises(vf.VectorFileError, match=r"ending in one of \.npy"):
        vf.open_vectors(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError):
        vf.open_vectors(tmp_path / "none.fbin")


@pytest.mark.parametrize(
    "values", [[[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, None]], [[1.0, 2.0], None], [[1.0, 2.0], []]]
)
def test_uneven_or_missing_lists_are_refused(tmp_path, values):
    write_parquet(tmp_path / "a.parquet", {"x": values}, 10)
    with pytest.raises(vf.VectorFileError, match="x"):
        vf.open_vectors(tmp_path / "a.parquet")


def test_sample_is_seeded_and_in_order():
    table = np.arange(100, dtype=np.float64).reshape(50, 2)
    a = vf.sample(table, 10, seed=1)
    np.testing.assert_array_equal(a, vf.sample(table, 10, seed=1))
    assert a.dtype == np.float32
    assert (np.diff(a[:, 0]) > 0).all()
    assert not np.array_equal(a, vf.sample(table, 10, seed=2))
    np.testing.assert_array_equal(vf.sample(table, 99, seed=1), table)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
def test_neighbours_are_written_whole(tmp_path, suffix):
    ids = np.array([[7, 3], [5, -1]])
    scores = np.array([[0.1, 0.05], [1e-7, -np.inf]], dtype=np.float32)
    path = tmp_path / f"found{suffix}"
    vf.write_neighbours(path, scores, ids)
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(path)["id"], ids)
        np.testing.assert_array_equal(np.load(path)["score"], scores)
        return
    if suffix == ".csv":
        head, *lines = path.read_text().splitlines()
        assert head == "query,rank,id,score"
        rows = [line.split(",") for line in lines]
    else:
        pq = pytest.importorskip("pyarrow.parquet")
        rows = [list(row.values()) for row in pq.read_table(path).to_pylist()]
    assert [[int(v) for v in row[:3]] for row in rows] == [[0, 0, 7], [0, 1, 3], [1, 0, 5]]
    np.testing.assert_array_equal(np.float32([row[3] for row in rows]), scores[[0, 0, 1], [0, 1, 0]])


def test_a_place_that_cannot_be_written_is_told_early(tmp_path):
    with pytest.raises(vf.VectorFileError, match=r"ending in \.npy, \.csv or \.parquet"):
        vf.check_neighbours_path(tmp_path / "a.txt")
    with pytest.raises(vf.VectorFileError, match="does not exist"):
        vf.check_neighbours_path(tmp_path / "none" / "a.csv")
