"""Data sets from small files of exactly the layouts the registry promises."""

import tarfile

import h5py
import numpy as np
import pytest

from eval import datasets, truth
from eval.datasets import hub, loading
from eval.datasets.synthetic import KINDS, synthetic
from tests import brute_force
from tests.integrations.test_vector_files import write_bin, write_parquet, write_vecs

X = brute_force.clustered(400, 8, seed=0)


def write_hdf5(path, distance, train=X[:300], test=X[300:350], **more):
    with h5py.File(path, "w") as file:
        file["train"], file["test"] = train, test
        for name, rows in more.items():
            file[name] = rows
        file.attrs["distance"] = distance


@pytest.mark.parametrize(
    ("name", "distance", "metric"),
    [("glove-25", "angular", "cosine"), ("sift-128", "euclidean", "l2"), ("yahoo-minilm-384", "normalized", "ip")],
)
def test_hdf5_files_in_the_data_folder(tmp_path, name, distance, metric):
    (file,) = datasets.ENTRIES[name].files
    write_hdf5(tmp_path / file, distance)
    data = datasets.load(name, queries=20, vectors=200, seed=0, folder=tmp_path)
    assert (data.metric, data.learn) == (metric, None)
    np.testing.assert_array_equal(data.train, X[:200])
    np.testing.assert_array_equal(data.queries, X[300:320])


def test_vibe_has_training_queries(tmp_path):
    write_hdf5(tmp_path / "llama-128-ip.hdf5", "ip", learn=X[350:])
    data = datasets.load("llama-128-ip", queries=50, vectors=None, seed=0, folder=tmp_path)
    assert data.metric == "ip"
    np.testing.assert_array_equal(data.learn, X[350:])


def test_augmented_inner_products(tmp_path):
    """The cosine on the file's 9 dimensions ranks as the inner product on the 8 that are given."""
    norms = np.linalg.norm(X[:300], axis=1)
    extra = np.sqrt(np.maximum(norms.max() ** 2 - norms**2, 0))[:, None]
    train, test = np.hstack([X[:300], extra]), np.hstack([X[300:350], np.zeros((50, 1))])
    write_hdf5(tmp_path / "lastfm-64-dot.hdf5", "angular", train.astype(np.float32), test.astype(np.float32))
    data = datasets.load("lastfm-64-dot", queries=50, vectors=None, seed=0, folder=tmp_path)
    assert (data.metric, data.train.shape[1]) == ("ip", 8)
    by_cosine = brute_force.top_k(train, test, 5, "cosine")
    np.testing.assert_array_equal(brute_force.top_k(data.train, data.queries, 5), by_cosine)
    write_hdf5(tmp_path / "lastfm-64-dot.hdf5", "angular")
    with pytest.raises(ValueError, match="expected vectors of equal norm"):
        datasets.load("lastfm-64-dot", queries=50, vectors=None, seed=0, folder=tmp_path)


def test_the_layout_of_the_shared_file(tmp_path):
    """Half floats, `learn`, and the neighbours that came with it, which must be those that are found here."""
    half = X.astype(np.float16)
    expected = brute_force.top_k(half[:300], half[300:350], 100)
    distances = np.take_along_axis(half[300:350].astype(float) @ half[:300].T.astype(float), expected, 1)
    write_hdf5(tmp_path / "small-8-ip.hdf5", "ip", half[:300], half[300:350], learn=half[350:],
               neighbors=expected.astype(np.int32), distances=distances.astype(np.float32))  # fmt: skip
    data = datasets.load(f"hdf5:{tmp_path}/small-8-ip.hdf5", queries=50, vectors=None, seed=0)
    assert (data.metric, data.train.dtype, data.queries.dtype, data.learn.dtype) == ("ip", *["float32"] * 3)
    np.testing.assert_array_equal(data.train, half[:300].astype(np.float32))
    assert truth.recall(truth.exact(data, 100, tmp_path), expected, 100) == 1
    there = datasets.load(f"hdf5:{tmp_path}/small-8-ip.hdf5", queries=50, vectors=200, seed=0, limit_bytes=0)
    assert there.streamed
    np.testing.assert_array_equal(there.train[150:250], half[150:200])


def test_unknown_distance(tmp_path):
    write_hdf5(tmp_path / "a.hdf5", "hamming")
    with pytest.raises(ValueError, match=r"expected a distance of .*, got 'hamming'"):
        datasets.load(f"hdf5:{tmp_path}/a.hdf5", 5, None, 0)


def test_texmex_archive(tmp_path):
    parts = {"sift_base.fvecs": X[:300], "sift_query.fvecs": X[300:350], "sift_learn.fvecs": X[350:]}
    with tarfile.open(tmp_path / "sift.tar.gz", "w:gz") as tar:
        for name, rows in parts.items():
            write_vecs(tmp_path / name, rows)
            tar.add(tmp_path / name, arcname=f"sift/{name}")
            (tmp_path / name).unlink()
    data = datasets.load("sift-128-texmex", queries=50, vectors=None, seed=0, folder=tmp_path)
    assert data.metric == "l2"
    for found, rows in zip((data.train, data.queries, data.learn), parts.values(), strict=True):
        np.testing.assert_array_equal(found, rows)


def test_big_ann_files_and_streaming(tmp_path):
    home = tmp_path / "deep1b-96"
    home.mkdir()
    write_bin(home / "base.1B.fbin", X[:300])
    write_bin(home / "query.public.10K.fbin", X[300:350])
    here = datasets.load("deep1b-96", queries=50, vectors=250, seed=0, folder=tmp_path)
    there = datasets.load("deep1b-96", queries=50, vectors=250, seed=0, folder=tmp_path, limit_bytes=0)
    assert (here.streamed, there.streamed) == (False, True)
    assert there.train.shape == (250, 8)
    np.testing.assert_array_equal(there.train[240:260], X[240:250])
    expected = brute_force.top_k(X[:250], X[300:350], 10, "l2")
    np.testing.assert_array_equal(truth.exact(there, 10, tmp_path / "cache"), expected)
    (cached,) = (tmp_path / "cache").glob("truth-*.npy")
    stamp = cached.stat().st_mtime_ns
    np.testing.assert_array_equal(truth.exact(here, 10, tmp_path / "cache"), expected)
    assert cached.stat().st_mtime_ns == stamp  # same content, same truth, whether streamed or not


def test_own_files(tmp_path):
    np.save(tmp_path / "x.npy", X[:300].astype(np.float64))
    write_vecs(tmp_path / "q.fvecs", X[300:350])
    data = datasets.load(f"files:test={tmp_path}/q.fvecs,train={tmp_path}/x.npy,metric=l2", 50, None, 0)
    assert (data.metric, data.train.shape, data.queries.shape) == ("l2", (300, 8), (50, 8))
    np.save(tmp_path / "q.npy", X[:10, :5])
    with pytest.raises(ValueError, match="expected one dimension"):
        datasets.load(f"files:train={tmp_path}/x.npy,test={tmp_path}/q.npy", 50, None, 0)
    for wrong in ("files:train=x.npy", "files:train=a,test=b,metric=hamming", "files:train=a,test=b,other=c"):
        with pytest.raises(ValueError, match="expected files:train=PATH"):
            datasets.load(wrong, 50, None, 0)


def test_hub_files_put_there_by_hand(tmp_path):
    entry = datasets.ENTRIES["dbpedia-openai-ada-1536"]
    home = tmp_path / "dbpedia-openai-ada-1536"
    home.mkdir()
    write_parquet(home / "train-00000.parquet", {"_id": list("a" * 200), entry.column: list(X[:200])}, 64)
    write_parquet(home / "train-00001.parquet", {"_id": list("b" * 200), entry.column: list(X[200:])}, 64)
    data = datasets.load("dbpedia-openai-ada-1536", queries=50, vectors=300, seed=0, folder=tmp_path)
    assert (data.train.shape, data.queries.shape) == ((300, 8), (50, 8))
    rows = {row.tobytes() for row in X}
    assert {row.tobytes() for row in data.train} | {row.tobytes() for row in data.queries} <= rows
    assert not {row.tobytes() for row in data.train} & {row.tobytes() for row in data.queries}
    streamed = datasets.load("dbpedia-openai-ada-1536", 50, 300, 0, folder=tmp_path, limit_bytes=0)
    assert streamed.streamed
    np.testing.assert_array_equal(streamed.train[100:300], X[100:300])
    np.testing.assert_array_equal(streamed.queries, X[350:])


def test_hub_sets_whose_queries_are_apart(tmp_path):
    """open-vdb: folders `train` and `test` of parquet files with `idx` and `emb`; lastfm-64-dot is augmented."""
    norms = np.linalg.norm(X[:300], axis=1)
    extra = np.sqrt(norms.max() ** 2 - norms**2)[:, None]
    train, test = np.hstack([X[:300], extra]).astype(np.float32), np.hstack([X[300:350], np.zeros((50, 1))])
    for name, rows, asked in (("open-vdb-glove-25", X[:300], X[300:350]), ("open-vdb-lastfm-64", train, test)):
        for part, table in (("train", rows), ("test", asked)):
            (tmp_path / name / part).mkdir(parents=True)
            columns = {"idx": range(len(table)), "emb": list(table.astype(np.float32))}
            write_parquet(tmp_path / name / part / f"{part}-00001-of-00001.parquet", columns, 64)
        data = datasets.load(name, queries=40, vectors=200, seed=0, folder=tmp_path)
        assert data.metric == datasets.ENTRIES[name].metric
        np.testing.assert_array_equal(data.train, X[:200])
        np.testing.assert_array_equal(data.queries, X[300:340])


def test_any_table_of_the_hub(tmp_path):
    home = tmp_path / "someone--something"
    home.mkdir()
    write_parquet(home / "0000.parquet", {"text": ["t"] * 400, "emb": list(X)}, 64)
    data = datasets.load("hub:someone/something,column=emb,metric=cosine", 50, None, 0, folder=tmp_path)
    assert (data.metric, data.train.shape, data.queries.shape) == ("cosine", (350, 8), (50, 8))
    with pytest.raises(ValueError, match="expected hub:OWNER/NAME,column=COLUMN"):
        datasets.load("hub:someone/something", 50, None, 0, folder=tmp_path)


def test_hub_library_on_local_parquet(tmp_path):
    library = pytest.importorskip("datasets")
    write_parquet(tmp_path / "a.parquet", {"emb": list(X), "text": ["t"] * 400}, 64)
    data = library.load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), split="train", cache_dir=tmp_path)
    table = hub.HubTable(data, "emb")
    assert table.shape == (400, 8)
    np.testing.assert_array_equal(table[60:70], X[60:70])
    np.testing.assert_array_equal(table[np.array([3, 399])], X[[3, 399]])
    with pytest.raises(ValueError, match="expected a column 'vec', got emb, text"):
        hub.HubTable(data, "vec")


def test_hub_without_network_says_what_to_put_where(tmp_path, monkeypatch):
    library = pytest.importorskip("datasets")

    def offline(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(library, "load_dataset", offline)
    with pytest.raises(OSError, match=r"files of Qdrant/.* into .*/dbpedia-openai3-large-1536/ by hand"):
        datasets.load("dbpedia-openai3-large-1536", 10, None, 0, folder=tmp_path)
    with pytest.raises(
        OSError, match=r"files of open-vdb/gist-960-euclidean/train into .*/open-vdb-gist-960/train/ by"
    ):
        datasets.load("open-vdb-gist-960", 10, None, 0, folder=tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_sets(kind):
    a = synthetic(kind, 12, 500, seed=3)
    assert (a.shape, a.dtype) == ((500, 12), np.float32)
    assert np.isfinite(a).all()
    np.testing.assert_array_equal(a, synthetic(kind, 12, 500, seed=3))
    assert not np.array_equal(a, synthetic(kind, 12, 500, seed=4))
    norms = np.linalg.norm(a, axis=1)
    assert (norms.std() < 1e-5) == kind.startswith("clustered")
    if kind == "sparse":
        assert 0.05 < (a != 0).mean() < 0.15


def test_synthetic_by_name():
    data = datasets.load("synthetic-clustered_l2-96", queries=10, vectors=100, seed=0)
    assert (data.metric, data.train.shape, data.queries.shape) == ("l2", (100, 96), (10, 96))


def test_every_entry_is_whole():
    for name, entry in datasets.ENTRIES.items():
        assert entry.dim > 0, name
        assert entry.size > 0, name
        assert entry.licence, name
        assert entry.metric in ("ip", "cosine", "l2"), name
        assert bool(entry.files) == (entry.kind in ("hdf5", "vecs", "bin")), name
        assert bool(entry.column) == (entry.kind == "hub"), name


def test_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "fetch", lambda url, target, **_: (_ for _ in ()).throw(OSError(f"{target} {url}")))
    with pytest.raises(OSError, match=r"gist-960-euclidean\.hdf5 http"):
        datasets.load("gist-960", 10, None, 0, folder=tmp_path)
