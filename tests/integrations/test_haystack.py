"""Haystack's own conformance tests, and what they leave open."""

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing import document_store as sync_tests
from haystack.testing import document_store_async as async_tests
from haystack.utils.filters import document_matches_filter

from ipaq_index.integrations.filters import to_sql
from ipaq_index.integrations.haystack import IPAQDocumentStore, IPAQEmbeddingRetriever, as_filter


def single(values):
    """Return the value as a store that keeps float32 gives it back."""
    return None if values is None else np.array(values, dtype=np.float32).tolist()


class Store:
    """The store under test. Haystack lets a store say when documents are equal: here embeddings are kept in float32."""

    @pytest.fixture(params=["memory", "directory"])
    def document_store(self, request, tmp_path):
        store = IPAQDocumentStore(tmp_path if request.param == "directory" else None, bits=2)
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received, expected):
        assert [d.to_dict() for d in received] == [{**d.to_dict(), "embedding": single(d.embedding)} for d in expected]


class TestConformance(
    Store,
    sync_tests.DocumentStoreBaseExtendedTests,
    sync_tests.CountDocumentsByFilterTest,
    sync_tests.CountUniqueMetadataByFilterTest,
    sync_tests.GetMetadataFieldsInfoTest,
    sync_tests.GetMetadataFieldMinMaxTest,
    sync_tests.GetMetadataFieldUniqueValuesTest,
):
    def test_write_documents(self, document_store):
        documents = [Document(content="test doc")]
        assert document_store.write_documents(documents) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents(documents, DuplicatePolicy.FAIL)


class TestAsyncConformance(
    Store,
    async_tests.CountDocumentsAsyncTest,
    async_tests.WriteDocumentsAsyncTest,
    async_tests.DeleteDocumentsAsyncTest,
    async_tests.DeleteAllAsyncTest,
    async_tests.DeleteByFilterAsyncTest,
    async_tests.UpdateByFilterAsyncTest,
    async_tests.FilterDocumentsAsyncTest,
    async_tests.CountDocumentsByFilterAsyncTest,
    async_tests.CountUniqueMetadataByFilterAsyncTest,
    async_tests.GetMetadataFieldsInfoAsyncTest,
    async_tests.GetMetadataFieldMinMaxAsyncTest,
    async_tests.GetMetadataFieldUniqueValuesAsyncTest,
):
    async def test_write_documents_async(self, document_store):
        documents = [Document(content="test doc")]
        assert await document_store.write_documents_async(documents) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async(documents, DuplicatePolicy.FAIL)


def corpus(count=60, dim=8):
    rng = np.random.default_rng(1)
    return [
        Document(
            id=str(i),
            content=f"text {i}",
            meta={
                "i": i,
                "half": i / 2,
                "kind": "ab"[i % 2],
                "nested": {"deep": i % 3},
                "date": f"2024-01-{i % 28 + 1:02}",
            },
            embedding=rng.standard_normal(dim).tolist(),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("exact_below", [1, 1000])
def test_retrieval_finds_what_brute_force_finds(metric, exact_below):
    documents = corpus()
    store = IPAQDocumentStore(metric=metric, exact_below=exact_below, bits=8)
    store.write_documents(documents)
    query = np.random.default_rng(2).standard_normal(8)
    table = np.array([d.embedding for d in documents])
    scores = {
        "ip": table @ query,
        "cosine": table @ query / np.linalg.norm(table, axis=1) / np.linalg.norm(query),
        "l2": -((table - query) ** 2).sum(axis=1),
    }[metric]
    chosen = [i for i in np.argsort(-scores) if documents[i].meta["kind"] == "a"][:5]
    found = store.embedding_retrieval(
        query.tolist(), {"field": "meta.kind", "operator": "==", "value": "a"}, 5, return_embedding=True
    )
    assert [d.id for d in found] == [str(i) for i in chosen]
    np.testing.assert_allclose([d.score for d in found], scores[chosen], rtol=1e-5)
    np.testing.assert_allclose([d.embedding for d in found], table[chosen], rtol=1e-6)
    scaled = store.embedding_retrieval(query.tolist(), top_k=60, scale_score=True)
    assert all(0 <= d.score <= 1 for d in scaled)
    assert scaled == sorted(scaled, key=lambda d: -d.score)


FILTERS = [
    {"field": "meta.i", "operator": ">", "value": 30},
    {"field": "i", "operator": "<=", "value": 2.5},
    {"field": "meta.half", "operator": "==", "value": 3},
    {"field": "meta.nested.deep", "operator": "in", "value": [0, 2]},
    {"field": "meta.nested", "operator": "==", "value": {"deep": 1}},
    {"field": "meta.kind", "operator": "not in", "value": ["a", None]},
    {"field": "meta.date", "operator": "==", "value": "2024-01-03T00:00:00"},
    {"field": "meta.date", "operator": ">=", "value": "2024-01-20"},
    {"field": "id", "operator": "in", "value": ["3", "4", "no"]},
    {"field": "content", "operator": "==", "value": "text 7"},
    {"field": "meta.none", "operator": "<", "value": None},
    {
        "operator": "OR",
        "conditions": [
            {"field": "meta.i", "operator": "<", "value": 3},
            {
                "operator": "NOT",
                "conditions": [
                    {"field": "meta.kind", "operator": "==", "value": "a"},
                    {"field": "meta.i", "operator": "!=", "value": 50},
                ],
            },
        ],
    },
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_filters_mean_what_haystack_says_they_mean(filters):
    documents = corpus()
    store = IPAQDocumentStore(exact_below=1)
    store.write_documents(documents)
    expected = [d.id for d in documents if document_matches_filter(filters, d)]
    assert [d.id for d in store.filter_documents(filters)] == expected
    assert store.count_documents_by_filter(filters) == len(expected)
    found = store.embedding_retrieval([1.0] * 8, filters, top_k=60)
    assert {d.id for d in found} == set(expected)


def test_plain_comparisons_are_decided_by_sqlite():
    assert all(
        to_sql(as_filter(f).node).exact for f in [*FILTERS[:4], FILTERS[5], FILTERS[8], FILTERS[10], FILTERS[11]]
    )
    assert not any(to_sql(as_filter(f).node).exact for f in [FILTERS[4], FILTERS[6], FILTERS[7], FILTERS[9]])


def test_all_of_a_document_comes_back(tmp_path):
    document = Document(content=None, blob=ByteStream(b"\0\1", mime_type="x/y"), meta={"π": ["a", {"b": None}]})
    store = IPAQDocumentStore(tmp_path)
    store.write_documents([document])
    store.close()
    again = IPAQDocumentStore(tmp_path)
    assert again.filter_documents() == [document]
    again.close()


def test_a_pipeline_with_the_retriever_survives_serialisation(tmp_path):
    store = IPAQDocumentStore(tmp_path, metric="ip")
    store.write_documents(corpus())
    pipeline = Pipeline()
    pipeline.add_component("retriever", IPAQEmbeddingRetriever(store, top_k=3))
    text = pipeline.dumps()
    store.close()
    found = Pipeline.loads(text, allowed_modules=["ipaq_index.integrations.haystack"]).run(
        {"retriever": {"query_embedding": [1.0] * 8}}
    )["retriever"]["documents"]
    assert len(found) == 3


async def test_the_retriever_runs_asynchronously():
    store = IPAQDocumentStore()
    store.write_documents(corpus())
    retriever = IPAQEmbeddingRetriever(store, filters={"field": "meta.i", "operator": "<", "value": 5})
    found = await retriever.run_async(query_embedding=[1.0] * 8)
    assert {d.id for d in found["documents"]} == set("01234")
    assert found["documents"] == retriever.run(query_embedding=[1.0] * 8)["documents"]


def test_a_query_without_a_vector_is_refused():
    with pytest.raises(ValueError, match="query_embedding: expected a vector"):
        IPAQDocumentStore().embedding_retrieval([])
    with pytest.raises(TypeError, match="document_store: expected an IPAQDocumentStore, got str"):
        IPAQEmbeddingRetriever("store")
