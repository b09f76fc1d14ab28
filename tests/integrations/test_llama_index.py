"""LlamaIndex publishes no conformance tests: its own in-memory store and filter function are the oracle."""

import numpy as np
import pytest
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import ImageNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from ipaq_index.integrations.llama_index import IPAQVectorStore


def nodes(count=50, dim=8):
    rng = np.random.default_rng(3)
    return [
        TextNode(
            id_=f"n{i}",
            text=f"text {i}",
            metadata={
                "i": i,
                "kind": "ab"[i % 2],
                "tags": ["x", "y"][: i % 3],
                "word": f"Word{i}",
                "box": {f"k{i % 4}": 1},
            }
            | ({"rare": i} if i % 10 == 0 else {}),
            embedding=rng.standard_normal(dim).tolist(),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc{i // 5}")},
        )
        for i in range(count)
    ]


@pytest.fixture(params=["memory", "codes", "directory"])
def store(request, tmp_path):
    options = {"memory": {}, "codes": {"exact_below": 1}, "directory": {"path": tmp_path, "exact_below": 16}}
    made = IPAQVectorStore(**options[request.param])
    made.add(nodes())
    yield made
    made.close()


def query(k=50, **arguments):
    vector = np.random.default_rng(4).standard_normal(8).tolist()
    return VectorStoreQuery(query_embedding=vector, similarity_top_k=k, **arguments)


def one(key, operator, value=None):
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


F = FilterOperator
FILTERS = [
    one("kind", F.EQ, "a"),
    one("kind", F.NE, "a"),
    one("rare", F.NE, 10),
    one("i", F.GT, 40),
    one("i", F.GTE, 40.0),
    one("i", F.LT, 3),
    one("rare", F.LTE, 10),
    one("word", F.GT, "Word40"),
    one("i", F.IN, [1, 2, 77]),
    one("rare", F.NIN, [10, 20]),
    one("kind", F.IN, "abc"),
    one("tags", F.CONTAINS, "y"),
    one("tags", F.ANY, ["y", "z"]),
    one("tags", F.ALL, ["x", "y"]),
    one("tags", F.CONTAINS, '"y"'),
    one("word", F.CONTAINS, "d4"),
    one("box", F.CONTAINS, "k3"),
    one("box", F.CONTAINS, "1"),
    one("word", F.ANY, ["d4", "d3"]),
    one("word", F.ALL, ["3", "1"]),
    one("tags", F.ALL, []),
    MetadataFilters(filters=one("tags", F.CONTAINS, "x").filters, condition=FilterCondition.NOT),
    one("word", F.TEXT_MATCH, "d4"),
    one("word", F.TEXT_MATCH_INSENSITIVE, "WORD4"),
    one("tags", F.IS_EMPTY),
    one("rare", F.IS_EMPTY),
    one("kind", F.EQ, None),
    one("kind", F.NE, None),
    *(
        MetadataFilters(
            filters=[MetadataFilter(key="kind", value="a"), MetadataFilter(key="i", operator=F.LT, value=10)],
            condition=condition,
        )
        for condition in FilterCondition
    ),
]


@pytest.mark.parametrize(
    "filters", FILTERS, ids=lambda f: " ".join(f"{x.key} {x.operator.value} {x.value}" for x in f.filters)
)
def test_filters_mean_what_llama_index_says_they_mean(filters):
    ours, theirs = IPAQVectorStore(exact_below=1), SimpleVectorStore()
    for each in (ours, theirs):
        each.add(nodes())
    expected = theirs.query(query(filters=filters))
    found = ours.query(query(filters=filters))
    assert set(found.ids) == set(expected.ids)
    np.testing.assert_allclose(sorted(found.similarities), sorted(expected.similarities), rtol=1e-5, atol=1e-6)
    assert {n.node_id for n in ours.get_nodes(filters=filters)} == set(expected.ids)


def test_answers_are_those_of_the_simple_store(store):
    theirs = SimpleVectorStore()
    theirs.add(nodes())
    expected, found = theirs.query(query(7)), store.query(query(7))
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.similarities, expected.similarities, rtol=1e-5, atol=1e-6)
    assert [n.text for n in found.nodes] == [f"text {name[1:]}" for name in found.ids]
    assert found.nodes[0].ref_doc_id == f"doc{int(found.ids[0][1:]) // 5}"


def test_nested_filters():
    store = IPAQVectorStore()
    store.add(nodes())
    inner = MetadataFilters(
        filters=[*one("i", F.LT, 4).filters, *one("i", F.GT, 47).filters], condition=FilterCondition.OR
    )
    for part in (one("kind", F.EQ, "a"), one("word", F.TEXT_MATCH_INSENSITIVE, "WORD")):
        found = store.query(query(filters=MetadataFilters(filters=[inner, part])))
        expected = {0, 2, 48} if part.filters[0].key == "kind" else {0, 1, 2, 3, 48, 49}
        assert set(found.ids) == {f"n{i}" for i in expected}


def test_ids_of_nodes_and_of_documents_narrow_a_query(store):
    assert set(store.query(query(node_ids=["n1", "n7", "none"])).ids) == {"n1", "n7"}
    assert set(store.query(query(doc_ids=["doc1"])).ids) == {f"n{i}" for i in range(5, 10)}
    assert len(store.query(query(node_ids=[])).ids) == 50  # what an index that keeps no nodes passes
    assert store.get_nodes([]) == []
    assert [n.node_id for n in store.get_nodes(["n3", "n2"], one("i", F.LT, 3))] == ["n2"]


def test_deleting(store):
    store.delete("doc0")
    store.delete("no such document")
    store.delete_nodes(["n5", "n6", "n7"], one("kind", F.EQ, "a"))
    store.delete_nodes(filters=one("i", F.GTE, 10))
    assert set(store.query(query()).ids) == {"n5", "n7", "n8", "n9"}
    with pytest.raises(ValueError, match="node_ids, filters"):
        store.delete_nodes()
    store.clear()
    assert store.query(query()).ids == []
    assert store.add(nodes(3)) == ["n0", "n1", "n2"]
    assert len(store.query(query()).ids) == 3


def test_marginal_relevance_is_the_simple_stores():
    ours, theirs = IPAQVectorStore(exact_below=1), SimpleVectorStore()
    for each in (ours, theirs):
        each.add(nodes(20))
    asked = query(5, mode=VectorStoreQueryMode.MMR)  # 4 x 5 candidates: all 20
    expected = theirs.query(asked, mmr_threshold=0.4)
    found = ours.query(asked, mmr_threshold=0.4)
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.similarities, expected.similarities, rtol=1e-4)


async def test_asynchronous_methods(store):
    assert (await store.aquery(query(5))).ids == store.query(query(5)).ids
    await store.async_add([TextNode(id_="new", text="new", embedding=[1.0] * 8)])
    assert [n.text for n in await store.aget_nodes(["new"])] == ["new"]
    await store.adelete("doc1")
    await store.adelete_nodes(["new"])
    assert len(await store.aget_nodes()) == 45
    await store.aclear()
    assert await store.aget_nodes() == []


def test_a_vector_store_index_persists_and_comes_back(tmp_path):
    store = IPAQVectorStore(path=tmp_path / "store", exact_below=4)
    context = StorageContext.from_defaults(vector_store=store)
    embedding = MockEmbedding(embed_dim=8)
    index = VectorStoreIndex(nodes(10), storage_context=context, embed_model=embedding)
    index.storage_context.persist(tmp_path / "context")
    store.close()
    again = IPAQVectorStore(path=tmp_path / "store")
    found = (
        VectorStoreIndex.from_vector_store(again, embed_model=embedding)
        .as_retriever(similarity_top_k=4)
        .retrieve("text")
    )
    assert len(found) == 4
    assert all(hit.text.startswith("text ") for hit in found)
    again.close()


def test_serialisation_and_other_kinds_of_nodes(tmp_path):
    store = IPAQVectorStore(path=tmp_path, metric="l2")
    image = ImageNode(id_="picture", text="a cat", image="aGk=", embedding=[0.0, 1.0], metadata={"a": 1})
    store.add([image])
    described = store.to_dict()
    store.close()
    again = IPAQVectorStore.from_dict(described)
    (found,) = again.get_nodes(["picture"])
    assert (type(found), found.image, found.text, found.metadata) == (ImageNode, "aGk=", "a cat", {"a": 1})
    result = again.query(VectorStoreQuery(query_embedding=[0.0, 3.0]))
    assert result.similarities == [-4.0]
    again.close()


def test_what_cannot_be_asked_is_refused():
    store = IPAQVectorStore()
    with pytest.raises(ValueError, match="mode: expected 'default' or 'mmr', got 'hybrid'"):
        store.query(query(mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(ValueError, match="query_embedding: expected a vector, got None"):
        store.query(VectorStoreQuery())
