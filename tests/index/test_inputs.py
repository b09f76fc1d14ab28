"""What other libraries hold vectors in, against the same numbers in NumPy."""

import datasets
import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

from ipaq_index import Index
from ipaq_index.index.inputs import as_array

X = np.random.default_rng(0).standard_normal((40, 6), dtype=np.float32)


class Tensor:
    """What torch's tensors promise: numbers only after ``detach`` and ``cpu``, and never as bfloat16."""

    def __init__(self, values, dtype="torch.float32", ready=()):
        self.values, self.dtype, self.ready = values, dtype, ready

    def detach(self):
        return Tensor(self.values, self.dtype, (*self.ready, "detached"))

    def cpu(self):
        return Tensor(self.values, self.dtype, (*self.ready, "on the CPU"))

    def float(self):
        return Tensor(self.values, "torch.float32", self.ready)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        assert self.ready == ("detached", "on the CPU"), "Can't call numpy() on Tensor that requires grad"
        assert self.dtype != "torch.bfloat16", "Got unsupported ScalarType BFloat16"
        return self.values


def lists(kind):
    return pa.array(list(X), type=kind)


TABLES = {
    "tensor": Tensor(X),
    "bfloat16 tensor": Tensor(X, "torch.bfloat16"),
    "list of tensors": [Tensor(row) for row in X],
    "arrow lists": lists(pa.list_(pa.float32())),
    "arrow large lists": lists(pa.large_list(pa.float32())),
    "arrow fixed-size lists": lists(pa.list_(pa.float32(), 6)),
    "arrow slice": pa.array([np.zeros(6, dtype=np.float32), *X], type=pa.list_(pa.float32()))[1:],
    "arrow fixed-size slice": pa.array([np.zeros(6, dtype=np.float32), *X], type=pa.list_(pa.float32(), 6))[1:],
    "arrow chunks": pa.chunked_array([lists(pa.list_(pa.float32()))[:7], lists(pa.list_(pa.float32()))[7:]]),
    "arrow tensors": pa.FixedShapeTensorArray.from_numpy_ndarray(X),
    "polars arrays": polars.Series(X, dtype=polars.Array(polars.Float32, 6)),
    "polars lists": polars.Series(X.tolist(), dtype=polars.List(polars.Float32)),
    "polars frame": polars.DataFrame(X),
    "pandas lists": pandas.Series(list(X)),
    "pandas frame": pandas.DataFrame(X),
    "arrow table of numbers": pa.table({str(j): X[:, j] for j in range(6)}),
    "data set": datasets.Dataset.from_dict({"emb": X})["emb"],
    "chosen rows of a data set": datasets.Dataset.from_dict({"emb": X[::-1]}).select(range(39, -1, -1))["emb"],
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_is_the_same_numbers(table):
    np.testing.assert_array_equal(np.asarray(as_array(table, "x"), dtype=np.float32), X)


@pytest.mark.parametrize("name", ["arrow fixed-size lists", "arrow tensors", "polars arrays", "tensor"])
def test_tables_are_not_copied_where_they_need_not_be(name):
    first, second = as_array(TABLES[name], "x"), as_array(TABLES[name], "x")
    assert np.shares_memory(first, second)


MISSING = [[1.0, 2.0], None]
BAD = {
    "arrow null": (pa.array(MISSING), "missing"),
    "arrow null within": (pa.array([[1.0, None], [2.0, 3.0]]), "missing"),
    "arrow ragged": (pa.array([[1.0, 2.0], [3.0]]), "one length"),
    "polars null": (polars.Series(MISSING), "missing"),
    "polars ragged": (polars.Series([[1.0, 2.0], [3.0]]), "one length"),
    "tensors": ([Tensor(X[0]), Tensor(X[0][:3])], "one length"),
    "pandas ragged": (pandas.Series([[1.0, 2.0], [3.0]]), "one length"),
    "pandas null": (pandas.Series(MISSING), "one length"),
    "arrow text": (pa.array(["a", "b"]), "dtype"),
}


@pytest.mark.parametrize(("table", "message"), BAD.values(), ids=BAD)
def test_columns_that_are_no_table_are_refused(table, message):
    with pytest.raises((ValueError, TypeError), match=f"^x: expected.*{message}"):
        Index(2).build(table)


WHOLE = pa.table({"id": range(40), "emb": TABLES["arrow fixed-size lists"]})


@pytest.mark.parametrize(
    "table",
    [
        WHOLE,
        WHOLE.to_batches()[0],
        polars.from_arrow(WHOLE),
        polars.from_arrow(WHOLE).lazy(),
        WHOLE.to_pandas(),
        datasets.Dataset(WHOLE),
        datasets.Dataset(WHOLE).to_iterable_dataset(),
    ],
    ids=lambda table: f"{type(table).__module__}.{type(table).__name__}",
)
def test_a_whole_table_is_told_to_pass_one_column(table):
    with pytest.raises(TypeError, match=r"^x: expected one column of vectors, got a whole .*pass one"):
        Index(6).build(table)


@pytest.fixture(scope="module")
def rows():
    x = np.random.default_rng(1).standard_normal((200, 6), dtype=np.float32)
    return x, datasets.Dataset.from_dict({"emb": x, "id": np.arange(1000, 1200), "text": ["t"] * 200})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_data_set_makes_the_index_that_its_array_makes(rows, streamed):
    x, ds = rows
    index, expected = Index(6, encoding="scalar"), Index(6, encoding="scalar").build(x, ids=np.arange(1000, 1200))
    source = ds.to_iterable_dataset(num_shards=3) if streamed else ds
    assert index.add_dataset(source, column="emb", id_column="id", batch_size=64) == 200
    for found, wanted in zip(index.search(x[:5], 7), expected.search(x[:5], 7), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_data_set_is_added_to_a_trained_index_whatever_its_format(rows):
    x, ds = rows
    index = Index(6, encoding="scalar").build(x[:50])
    assert index.add_dataset(ds.with_format("numpy").select(range(50, 200))) == 150
    np.testing.assert_array_equal(index.ids(), np.arange(200))
    expected = Index(6, encoding="scalar").build(x[:50])
    expected.add(x[50:])
    np.testing.assert_array_equal(index.search(x, 3)[1], expected.search(x, 3)[1])


def test_a_fault_in_a_later_batch_adds_nothing(rows):
    x, _ = rows
    broken = x.copy()
    broken[150, 2] = np.nan
    index = Index(6, encoding="scalar").build(x[:10])
    with pytest.raises(ValueError, match="column 'emb': expected finite float32 values, got nan"):
        index.add_dataset(datasets.Dataset.from_dict({"emb": broken}), batch_size=32)
    assert len(index) == 10
    fresh = Index(6)
    with pytest.raises(ValueError, match="column 'id': expected different ids"):
        fresh.add_dataset(datasets.Dataset.from_dict({"emb": x, "id": [7] * 200}), id_column="id")
    assert not fresh.is_trained


def test_what_is_no_data_set_is_refused(rows):
    _, ds = rows
    index = Index(6)
    with pytest.raises(ValueError, match="column: expected one of emb, id, text, got 'embedding'"):
        index.add_dataset(ds, column="embedding")
    with pytest.raises(ValueError, match="id_column: expected one of emb, id, text, got 'key'"):
        index.add_dataset(ds, id_column="key")
    with pytest.raises(
        TypeError, match="ds: expected a Dataset or IterableDataset of the package datasets, got ndarray"
    ):
        index.add_dataset(X)
    with pytest.raises(TypeError, match="column 'text': expected real numbers"):
        index.add_dataset(ds, column="text")
    with pytest.raises(ValueError, match="ds: expected at least one row, got none"):
        index.add_dataset(ds.select([]))


@pytest.mark.parametrize("column", [pa.array([1, None]), pa.chunked_array([[1], [None]]), polars.Series([1, None])])
def test_ids_are_not_missing(column):
    index = Index(3, states=8).build(np.eye(3, dtype=np.float32))
    for call in (index.remove, index.reconstruct, lambda ids: index.search([1.0, 0, 0], filter=ids)):
        with pytest.raises(ValueError, match="expected values in every place, got 1 missing"):
            call(column)
