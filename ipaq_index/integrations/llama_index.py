"""LlamaIndex's `BasePydanticVectorStore` on `store.VectorDocuments` (extra ``llama-index``)."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ipaq_index.integrations.documents import Record
from ipaq_index.integrations.filters import All, Beyond, Compare, Filter, Node, Not, Operator, Some
from ipaq_index.integrations.filters import Field as Where
from ipaq_index.integrations.store import Hit, VectorDocuments

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
    from llama_index.core.schema import BaseNode, MetadataMode, TextNode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import (
        build_metadata_filter_fn,
        metadata_dict_to_node,
        node_to_metadata_dict,
    )
except ImportError as error:
    raise ImportError(f"{error}; LlamaIndex comes with: pip install 'ipaq-index[llama-index]'") from error

OPERATORS: dict[FilterOperator, Operator] = {
    FilterOperator.EQ: "==",
    FilterOperator.NE: "!=",
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "not in",
    FilterOperator.TEXT_MATCH: "has text",
    FilterOperator.IS_EMPTY: "is empty",
}
WITHIN = (FilterOperator.CONTAINS, FilterOperator.ANY, FilterOperator.ALL)
NOTHING = Some(())
FETCH = 4  # candidates a wanted node among which maximal marginal relevance chooses, as LlamaIndex's own stores do


class IPAQVectorStore(BasePydanticVectorStore):
    """Nodes in SQLite and their embeddings in compressed codes.

    Parameters
    ----------
    path : path-like, optional
        Directory of the store; in memory without one. What is there already is opened.
    **options
        `store.Options`: metric ("cosine", "ip", "l2"), bits, keep_vectors, exact_below, seed.

    Notes
    -----
    Query modes DEFAULT and MMR; `MetadataFilters` with all operators and conditions, nested too. Similarities are
    cosines or inner products; for "l2" minus the squared distance. A number is never above or below a string, and
    contains nothing.
    """

    stores_text: bool = True
    flat_metadata: bool = False
    path: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    _store: VectorDocuments = PrivateAttr()

    def __init__(self, path: str | Path | None = None, options: dict[str, Any] | None = None, **more: Any) -> None:
        fields = {name: more.pop(name) for name in list(more) if name in type(self).model_fields}
        chosen = {**(options or {}), **more}
        super().__init__(**{"path": None if path is None else str(path), "options": chosen, **fields})
        self._store = VectorDocuments(path, **chosen)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex serialises this class."""
        return "IPAQVectorStore"

    @property
    def client(self) -> VectorDocuments:
        """The store behind this one."""
        return self._store

    def close(self) -> None:
        """Close the store's files; so does the end of a ``with`` block."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes with embeddings; a node whose id is there already replaces the old one. Return their ids."""
        self._store.write([_record(node) for node in nodes], [node.get_embedding() for node in nodes])
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document."""
        self._store.delete_matching(Filter(Compare(Where(column="ref"), "==", ref_doc_id)))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes with these ids that the filters accept; all that they accept if no ids are given."""
        if node_ids is None and filters is None:
            raise ValueError("node_ids, filters: expected at least one of the two (clear() deletes all), got neither")
        self._store.delete_matching(as_filter(filters, node_ids))

    def clear(self) -> None:
        """Delete all nodes."""
        self._store.delete_matching(None)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return the nodes with these ids that the filters accept, in the order in which they were added."""
        return [_node_of(record) for record in self._store.documents.select(as_filter(filters, node_ids))]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the nodes most like the query's embedding.

        Raises
        ------
        ValueError
            If the mode is neither DEFAULT nor MMR, or there is no embedding.
        """
        if query.mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
            raise ValueError(f"mode: expected 'default' or 'mmr', got {query.mode.value!r}")
        if query.query_embedding is None:
            raise ValueError("query_embedding: expected a vector, got None")
        filter = as_filter(
            query.filters, query.node_ids or None, query.doc_ids or None
        )  # [] is what indexes pass for "any"
        vector, k = np.asarray(query.query_embedding), query.similarity_top_k
        if query.mode == VectorStoreQueryMode.MMR:
            threshold = kwargs.get("mmr_threshold", query.mmr_threshold)
            hits = self._diverse(self._store.search(vector, FETCH * k, filter), vector, k, threshold)
        else:
            hits = self._store.search(vector, k, filter)
        sign = -1 if self._store.options.metric == "l2" else 1
        return VectorStoreQueryResult(
            nodes=[_node_of(hit.record) for hit in hits],
            similarities=[sign * hit.score for hit in hits],
            ids=[hit.record.id for hit in hits],
        )

    def _diverse(self, hits: list[Hit], vector: np.ndarray, k: int, threshold: float | None) -> list[Hit]:
        vectors = self._store.vectors([hit.record for hit in hits])
        pairs = [(hit, v.tolist()) for hit, v in zip(hits, vectors, strict=True) if v is not None]
        scores, places = get_top_k_mmr_embeddings(
            vector.tolist(),
            [v for _, v in pairs],
            similarity_top_k=k,
            embedding_ids=list(range(len(pairs))),
            mmr_threshold=threshold,
        )
        return [Hit(pairs[place][0].record, score) for place, score in zip(places, scores, strict=True)]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """See `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """See `add`."""
        return await asyncio.to_thread(self.add, nodes)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """See `delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """See `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """See `clear`."""
        await asyncio.to_thread(self.clear)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """See `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    def persist(self, persist_path: str | None = None, fs: Any = None) -> None:
        """Write the index to the store's directory; nodes are durable as soon as they are added.

        Parameters
        ----------
        persist_path : str, optional
            Not used: `StorageContext.persist` names a file of its own, but this store has its directory already.
        fs : optional
            Not used.
        """
        if self.path is not None:
            self._store.save()


def as_filter(
    filters: MetadataFilters | None, node_ids: list[str] | None = None, doc_ids: list[str] | None = None
) -> Filter | None:
    """Translate filters, and the ids that nodes or their source documents must have; None if there are none."""
    parts: list[Node] = []
    if node_ids is not None:
        parts.append(Compare(Where(column="id"), "in", node_ids))
    if doc_ids is not None:
        parts.append(Compare(Where(column="ref"), "in", doc_ids))
    if filters is not None and filters.filters:
        parts.append(_node(filters))
    if not parts:
        return None
    return Filter(All(tuple(parts)), lambda record: filters is None or _accepts(filters, record))


def _node(filters: MetadataFilters) -> Node:
    parts = tuple(_node(f) if isinstance(f, MetadataFilters) else _comparison(f) for f in filters.filters)
    condition = filters.condition or FilterCondition.AND
    if condition == FilterCondition.NOT:
        return Not(Some(parts))
    return All(parts) if condition == FilterCondition.AND else Some(parts)


def _comparison(filter: MetadataFilter) -> Node:
    operator = OPERATORS.get(filter.operator)
    if filter.operator in WITHIN and filter.value is not None:
        return _within(filter)
    if operator is None:
        return Beyond()
    if filter.value is None and operator != "is empty":
        # LlamaIndex: nothing but != and nin is true of null, and nothing that is there equals null.
        return All(()) if operator == "!=" else NOTHING if operator == "==" else Beyond()
    if operator in ("in", "not in") and isinstance(filter.value, str):
        return Beyond()  # a substring of the value, in Python's sense of "in"
    return Compare(Where((filter.key,)), operator, filter.value)


def _within(filter: MetadataFilter) -> Node:
    """Translate what asks for values within a string, a list or an object."""
    values = [filter.value] if filter.operator == FilterOperator.CONTAINS else filter.value
    if not isinstance(values, list) or not values:
        return Beyond()
    field = Where((filter.key,))
    parts = tuple(Some((Compare(field, "has text", v), Compare(field, "has item", v))) for v in values)
    return Some(parts) if filter.operator == FilterOperator.ANY else All(parts)


def _accepts(filters: MetadataFilters, record: Record) -> bool:
    """Decide as LlamaIndex's own function does; it knows no nested filters, so that their nesting is resolved here."""
    decided = [
        _accepts(f, record)
        if isinstance(f, MetadataFilters)
        else build_metadata_filter_fn(lambda _: record.metadata, MetadataFilters(filters=[f]))(record.id)
        for f in filters.filters
    ]
    condition = filters.condition or FilterCondition.AND
    if condition == FilterCondition.NOT:
        return not any(decided)
    return all(decided) if condition == FilterCondition.AND else any(decided)


def _record(node: BaseNode) -> Record:
    # The node as LlamaIndex itself writes it for stores, less the text and metadata, which have columns of their own.
    written = node_to_metadata_dict(node, remove_text=True)
    content = json.loads(written["_node_content"])
    metadata = content.pop("metadata")
    extra = {"type": written["_node_type"], "node": content}
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    return Record(node.node_id, text, metadata, node.ref_doc_id, {"llama_index": extra})


def _node_of(record: Record) -> BaseNode:
    extra = (record.extra or {}).get("llama_index")
    if extra is None:  # written by another framework's adapter
        return TextNode(id_=record.id, text=record.text or "", metadata=record.metadata)
    content = json.dumps({**extra["node"], "metadata": record.metadata})
    return metadata_dict_to_node({"_node_content": content, "_node_type": extra["type"]}, text=record.text)
