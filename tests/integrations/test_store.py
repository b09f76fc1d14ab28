"""Documents and index as one: what is durable when, and that no fault parts the two."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ipaq_index.integrations import store as module
from ipaq_index.integrations.documents import DuplicateIdError, Record
from ipaq_index.integrations.filters import Compare, Field, Filter
from ipaq_index.integrations.store import VectorDocuments

X = np.random.default_rng(5).standard_normal((300, 8), dtype=np.float32)
ROOT = Path(__file__).parents[2]


def records(*numbers):
    return [Record(str(i), f"text {i}", {"i": i}) for i in numbers]


def fill(store, *numbers):
    return store.write(records(*numbers), [X[i] for i in numbers])


def found(store, i, k=300):
    return {hit.record.id for hit in store.search(X[i], k)}


def agree(store):
    """Check that the index holds the documents' vectors and nothing else."""
    keys = store.documents.vector_keys()
    index = store._index
    if index is None:
        assert len(keys) < store.options.exact_below
    else:
        np.testing.assert_array_equal(np.sort(index.ids()), keys)


@pytest.fixture(params=[None, "directory"])
def store(request, tmp_path):
    with VectorDocuments(tmp_path if request.param else None, exact_below=20) as made:
        yield made


def test_the_index_comes_when_there_are_vectors_enough_and_anew_when_they_are_many_more(store):
    fill(store, *range(19))
    assert store._index is None
    fill(store, 19)
    assert len(store._index) == 20
    first = store._index
    fill(store, *range(20, 159))
    assert store._index is first
    fill(store, 159)
    assert store._index is not first
    agree(store)
    scores = X @ X[7] / np.linalg.norm(X, axis=1) / np.linalg.norm(X[7])
    hits = store.search(X[7], 5)
    assert [hit.record.id for hit in hits] == [str(i) for i in np.argsort(-scores[:160])[:5]]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(-scores[:160])[:5] * -1, rtol=1e-5)


def test_writing_an_id_again_replaces_the_document(store):
    fill(store, *range(30))
    before = store.documents.count()
    assert store.write(
        [Record("3", "new", {}), Record("x", "a", {}), Record("x", "b", {})], [X[100], X[101], X[102]]
    ) == ["3", "x"]
    assert store.documents.count() == before + 1
    assert store.search(X[100], 1)[0].record.text == "new"
    assert store.search(X[102], 1)[0].record.text == "b"
    assert store.search(X[3], 1)[0].record.id != "3"
    agree(store)


def test_duplicates_can_be_skipped_or_refused(store):
    fill(store, *range(30))
    assert store.write(records(2, 40), [X[2], X[40]], "skip") == ["40"]
    with pytest.raises(DuplicateIdError, match="id: expected ids that are not stored yet, got '2'"):
        store.write(records(50, 2), [X[50], X[2]], "fail")
    assert store.documents.by_id(["50"]) == []
    agree(store)


def test_deleting_and_updating(store):
    fill(store, *range(40))
    assert store.delete(["1", "2", "none"]) == 2
    low = Filter(Compare(Field(("i",)), "<", 10))
    assert store.update_metadata(low, {"low": True}) == 8
    assert store.documents.by_id(["5"])[0].metadata == {"i": 5, "low": True}
    assert {hit.record.id for hit in store.search(X[0], 40, Filter(Compare(Field(("low",)), "==", True)))} == set(
        "03456789"
    )
    assert store.delete_matching(low) == 8
    assert found(store, 0) == {str(i) for i in range(10, 40)}
    assert store.delete_matching(None) == 30
    assert found(store, 0) == set()
    fill(store, *range(25))
    assert len(found(store, 0)) == 25
    agree(store)


BAD = {
    "dimension": (records(50, 51), [X[0], X[0, :3]], "vectors: expected dimension 8, got shape \\(3,\\)"),
    "nan": (records(50), [np.full(8, np.nan)], "vectors: expected finite"),
    "count": (records(50), [], "vectors: expected 1, one for each document, got 0"),
    "metadata": (
        [Record("a", "t", {"x": {1, 2}})],
        [X[0]],
        "metadata: expected values with a JSON form in document 'a'",
    ),
    "nan metadata": ([Record("a", "t", {"x": float("nan")})], [X[0]], "metadata: expected values with a JSON form"),
}


@pytest.mark.parametrize(("new", "vectors", "message"), BAD.values(), ids=BAD)
def test_a_write_that_is_refused_changed_nothing(store, new, vectors, message):
    fill(store, *range(30))
    index = store._index
    with pytest.raises((ValueError, TypeError), match=message):
        store.write(new, vectors)
    assert store._index is index
    assert len(store) == 30
    agree(store)


def test_a_fault_after_the_index_took_vectors_in_leaves_both_as_they_were(store, monkeypatch):
    fill(store, *range(30))
    add = module._remove

    def fail(index, keys):
        add(index, keys)
        raise MemoryError("no room")

    monkeypatch.setattr(module, "_remove", fail)
    with pytest.raises(MemoryError):
        store.delete(["1"])
    monkeypatch.setattr(module, "_remove", add)
    assert len(store) == 30
    assert "1" in found(store, 1)
    agree(store)


def test_opening_repeats_what_was_written_since_the_index_was_saved(tmp_path):
    with VectorDocuments(tmp_path, exact_below=20, metric="ip") as first:
        fill(first, *range(40))
        first.save()
        first.delete(["5"])
        fill(first, 6, 41, 42)
        expected = list(first.search(X[41], 50))
    with VectorDocuments(tmp_path) as again:
        assert again.options.metric == "ip"
        assert again.search(X[41], 50) == expected
        agree(again)
        again.save()
        again.save()
    assert sorted(p.name for p in tmp_path.glob("*.ipaq")) == ["index-3.ipaq"]
    with pytest.raises(ValueError, match=r"metric: expected 'ip', as stored in .*, got 'l2'"):
        VectorDocuments(tmp_path, metric="l2")


@pytest.mark.parametrize("at", ["before the file", "after the file"])
def test_a_save_that_fails_leaves_the_old_one(tmp_path, monkeypatch, at):
    with VectorDocuments(tmp_path, exact_below=20, keep_vectors=False) as store:
        fill(store, *range(40))
        store.save()
        fill(store, *range(40, 60))
        write = module.save

        def fail(index, path):
            if at == "after the file":
                write(index, path)
            raise OSError("disk full")

        monkeypatch.setattr(module, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            store.save()
        monkeypatch.setattr(module, "save", write)
    with VectorDocuments(tmp_path) as again:
        assert len(found(again, 0)) == 60
        again.save()
        assert len(found(again, 0)) == 60
    assert sorted(p.name for p in tmp_path.glob("*.ipaq")) == ["index-2.ipaq"]


def test_without_kept_vectors_they_go_when_an_index_that_holds_them_is_saved(tmp_path):
    with VectorDocuments(tmp_path, exact_below=20, keep_vectors=False, bits=8) as store:
        fill(store, *range(100))
        store.save()
        assert store.documents.vector_count() == 0
        fill(store, 100)
        store.delete(["7"])
    with VectorDocuments(tmp_path) as again:
        assert len(found(again, 0)) == 100
        assert again.search(X[100], 1)[0].record.id == "100"
        told, exact = again.vectors(again.documents.by_id(["3", "100"]))
        np.testing.assert_array_equal(exact, X[100])
        np.testing.assert_allclose(told, X[3] / np.linalg.norm(X[3]), atol=0.05)
    with pytest.raises(ValueError, match="keep_vectors: expected a path"):
        VectorDocuments(keep_vectors=False)


def test_two_openings_of_one_directory_see_each_others_writes(tmp_path):
    with VectorDocuments(tmp_path, exact_below=20) as one, VectorDocuments(tmp_path, exact_below=20) as other:
        fill(one, *range(30))
        assert len(found(other, 0)) == 30
        fill(other, 30)
        one.save()
        other.delete(["4"])
        assert found(one, 0) == {str(i) for i in range(31)} - {"4"}
        one.save()
        other.save()
        agree(one)
        agree(other)
        assert found(one, 0) == found(other, 0)


def test_searches_beside_writes_return_whole_documents(store):
    fill(store, *range(40))
    faults, done = [], threading.Event()

    def search():
        while not done.is_set():
            hits = store.search(X[0], 10)
            if len(hits) < 10 or any(hit.record.text != f"text {hit.record.id}" for hit in hits):
                faults.append(hits)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(40, 120):
        fill(store, i)
        store.delete([str(i - 30)])
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    agree(store)


WRITER = """
import sys
import numpy as np
from ipaq_index.integrations.documents import Record
from ipaq_index.integrations.store import VectorDocuments
x = np.random.default_rng(5).standard_normal((300, 8), dtype=np.float32)
store = VectorDocuments(sys.argv[1], exact_below=20, keep_vectors=sys.argv[2] == "kept")
for i in range(10_000):
    store.write([Record(str(i), f"text {i}")], [x[i % 300]])
    if i % 3 == 0:
        store.delete([str(i - 3)])
    if i % 20 == 0:
        store.save()
    print(i, flush=True)
"""


@pytest.mark.parametrize("kept", ["kept", "dropped"])
def test_a_killed_writer_loses_nothing_that_it_reported(tmp_path, kept):
    command = [sys.executable, "-c", WRITER, str(tmp_path), kept]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        for line in writer.stdout:
            if int(line) == 90:
                writer.send_signal(signal.SIGKILL)
                break
        last = int(max((line for line in writer.stdout if line.strip().isdigit()), key=int, default=90))
    with VectorDocuments(tmp_path) as store:
        held = {int(record.id) for record in store.documents.select()}
        assert {i for i in range(last + 1) if i % 3 or i > last - 3} <= held
        assert held <= set(range(last + 2))
        assert {int(name) for name in found(store, 0, k=10_000)} == held


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "documents.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(ValueError, match="expected an SQLite file of documents"):
        VectorDocuments(tmp_path)


def test_an_option_of_another_name_and_a_closed_store_are_told(tmp_path):
    with pytest.raises(TypeError, match="bit: expected one of metric, bits, keep_vectors, exact_below, seed"):
        VectorDocuments(tmp_path, bit=3)
    with VectorDocuments(tmp_path, exact_below=20) as store:
        fill(store, 1, 2)
        assert repr(store) == f"<{tmp_path}: 2 documents, cosine, no index yet>"
    for use in (lambda: fill(store, 3), lambda: found(store, 1), store.save, lambda: len(store)):
        with pytest.raises(ValueError, match="store: expected one that is open"):
            use()
    assert repr(store) == f"<{tmp_path}: closed>"
