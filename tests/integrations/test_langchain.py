"""LangChain's own conformance tests, and what they leave open."""

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from ipaq_index.integrations.langchain import IPAQVectorStore

EMBEDDING = DeterministicFakeEmbedding(size=16)


class TestConformance(VectorStoreIntegrationTests):
    """In memory and in a directory; with exact vectors compared, and with codes from the first vector on."""

    @pytest.fixture(params=["exact", "codes", "directory", "codes only"])
    def vectorstore(self, request, tmp_path):
        options = {
            "exact": {},
            "codes": {"exact_below": 1},
            "directory": {"path": tmp_path, "exact_below": 1},
            "codes only": {"path": tmp_path, "exact_below": 1, "keep_vectors": False, "bits": 8},
        }[request.param]
        store = IPAQVectorStore(self.get_embeddings(), **options)
        yield store
        store.close()


@pytest.fixture
def shelf():
    texts = [f"text {i}" for i in range(40)]
    metadatas = [
        {"number": i, "even": i % 2 == 0, "topic": "law" if i < 10 else "art", "tags": [i, "odd"] * (i % 2)}
        for i in range(40)
    ]
    return IPAQVectorStore.from_texts(texts, EMBEDDING, metadatas, ids=[str(i) for i in range(40)], exact_below=20)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"topic": "law"}, range(10)),
        ({"number": {"$gte": 35}}, range(35, 40)),
        ({"number": {"$gt": 3, "$lt": 6}}, [4, 5]),
        ({"number": {"$in": [1, 2, 99]}}, [1, 2]),
        ({"topic": {"$nin": ["art"]}, "even": True}, range(0, 10, 2)),
        ({"$or": [{"number": 3}, {"number": 5}]}, [3, 5]),
        ({"$not": {"topic": "art"}}, range(10)),
        ({"$and": [{"topic": {"$ne": "art"}}, {"even": False}]}, range(1, 10, 2)),
        ({"topic": {"$contains": "aw"}}, range(10)),
        ({"tags": {"$contains": "odd"}}, range(1, 40, 2)),
        ({"tags": {"$contains": 3}}, [3]),
        ({"tags": {"$contains": "3"}}, []),
        ({"number": {"$contains": 3}}, []),
        ({"$not": {"tags": {"$contains": "odd"}}}, range(0, 40, 2)),
        ({"number": {"$between": [4, 6]}}, [4, 5, 6]),
        ({"topic": {"$exists": True}, "missing": {"$exists": False}}, range(40)),
        ({"$or": [{"missing": {"$exists": True}}, {"topic": {"$exists": False}}]}, []),
        ({"missing": None}, range(40)),
        ({"missing": 1}, []),
        ({"number": "3"}, []),
        (lambda document: document.metadata["number"] == 7, [7]),
    ],
)
def test_filters_choose_the_documents(shelf, filter, expected):
    found = shelf.similarity_search("text 3", k=40, filter=filter)
    assert sorted(int(document.id) for document in found) == list(expected)


@pytest.mark.parametrize(
    "filter",
    [
        {"a": {"$near": 1}},
        {"$xor": []},
        {"a": [1, 2]},
        {"a": {"$in": "text"}},
        {"a": {"$between": 3}},
        {"a": {"$exists": 1}},
    ],
)
def test_filters_that_say_nothing_are_refused(shelf, filter):
    with pytest.raises(ValueError, match="filter: expected"):
        shelf.similarity_search("text", filter=filter)


def test_scores_are_cosines_and_relevance_lies_between_0_and_1(shelf):
    (document, score), *others = shelf.similarity_search_with_score("text 3", k=40)
    assert document.page_content == "text 3"
    assert score == pytest.approx(1, abs=1e-6)
    assert [s for _, s in others] == sorted((s for _, s in others), reverse=True)
    relevant = shelf.similarity_search_with_relevance_scores("text 3", k=40, score_threshold=0.5)
    assert relevant[0][1] == pytest.approx(1, abs=1e-6)
    assert all(0.5 <= r <= 1 for _, r in relevant)


def test_marginal_relevance_prefers_documents_that_differ(shelf):
    shelf.add_embeddings(["copy"], [EMBEDDING.embed_query("text 3")], ids=["copy"])
    vector = EMBEDDING.embed_query("text 3")
    nearest = {d.id for d in shelf.similarity_search_by_vector(vector, 2)}
    diverse = {d.id for d in shelf.max_marginal_relevance_search_by_vector(vector, 2, fetch_k=41, lambda_mult=0.3)}
    assert nearest == {"3", "copy"}
    assert len(diverse & nearest) == 1


def test_a_retriever_and_deleting_by_filter(shelf):
    retriever = shelf.as_retriever(search_kwargs={"k": 3, "filter": {"topic": "law"}})
    assert {d.metadata["topic"] for d in retriever.invoke("anything")} == {"law"}
    assert shelf.delete_matching({"topic": "law"}) == 10
    assert retriever.invoke("anything") == []
    shelf.delete()
    assert shelf.similarity_search("text 30") == []


def test_a_store_opens_again_with_its_documents(tmp_path):
    first = IPAQVectorStore(EMBEDDING, tmp_path, exact_below=8)
    first.add_documents([Document(id=str(i), page_content=f"text {i}", metadata={"i": i}) for i in range(20)])
    first.save()
    first.add_documents([Document(id="20", page_content="text 20")])
    first.delete(["3"])
    expected = first.similarity_search_with_score("text 20", k=30)
    first.close()
    again = IPAQVectorStore(EMBEDDING, tmp_path)
    found = again.similarity_search_with_score("text 20", k=30)
    again.close()
    assert [d for d, _ in found] == [d for d, _ in expected]
    assert len(found) == 20
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected])
