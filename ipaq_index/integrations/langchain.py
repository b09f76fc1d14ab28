"""LangChain's `VectorStore` on `store.VectorDocuments` (extra ``langchain``)."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ipaq_index.integrations.documents import Record
from ipaq_index.integrations.filters import All, Beyond, Compare, Field, Filter, Node, Not, Operator, Some
from ipaq_index.integrations.store import Hit, HoldsStore, VectorDocuments

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore
    from langchain_core.vectorstores.utils import maximal_marginal_relevance
except ImportError as error:
    raise ImportError(f"{error}; LangChain comes with: pip install 'ipaq-index[langchain]'") from error

MetadataFilter = dict[str, Any] | Callable[[Document], bool]
OPERATORS: dict[str, Operator] = {
    "$eq": "==",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$in": "in",
    "$nin": "not in",
}
OTHERS = ("$contains", "$exists", "$between")  # those made of several comparisons


class IPAQVectorStore(HoldsStore, VectorStore):
    """Documents in SQLite and their vectors in compressed codes.

    Parameters
    ----------
    embedding : Embeddings
        What turns texts into vectors.
    path : path-like, optional
        Directory of the store; in memory without one. What is there already is opened.
    **options
        `store.Options`: metric ("cosine", "ip", "l2"), bits, keep_vectors, exact_below, seed.

    Notes
    -----
    ``filter`` of all searches is either a dict, ``{"topic": "law", "year": {"$gte": 2020}}``, with ``$eq $ne $gt $gte
    $lt $lte $in $nin $between`` (both ends included) ``$contains`` (a substring of a string, an item of a list) and
    ``$exists`` (true or false; null is not there) on values and ``$and $or $not`` around dicts, or a function of a
    `Document`. Dicts are decided by SQLite, functions are called for every document.

    A store closes its files at the end of a ``with`` block, or by `close`.
    """

    def __init__(self, embedding: Embeddings, path: str | Path | None = None, **options: Any) -> None:
        self._embedding = embedding
        self.store = VectorDocuments(path, **options)

    @property
    def embeddings(self) -> Embeddings:
        """What turns texts into vectors."""
        return self._embedding

    def save(self) -> None:
        """Write the index to the store's directory; documents are durable as soon as they are added."""
        self.store.save()

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and add them; a text whose id is there already replaces the old one. Returns the ids."""
        contents = list(texts)
        return self.add_embeddings(contents, self._embedding.embed_documents(contents), metadatas, ids)

    def add_embeddings(
        self,
        texts: Sequence[str],
        embeddings: Sequence[Sequence[float]],
        metadatas: Sequence[dict[str, Any]] | None = None,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Add texts with vectors computed before; returns the ids."""
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given is not None and len(given) != len(texts):
                raise ValueError(f"{name}: expected {len(texts)}, one for each text, got {len(given)}")
        names = [name or str(uuid.uuid4()) for name in ids or [None] * len(texts)]
        records = [
            Record(name, text, dict(metadata))
            for name, text, metadata in zip(names, texts, metadatas or [{}] * len(texts), strict=True)
        ]
        self.store.write(records, embeddings)
        return names

    async def aadd_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str]:
        """Embed texts asynchronously and add them."""
        contents = list(texts)
        embeddings = await self._embedding.aembed_documents(contents)
        return await run_in_executor(None, self.add_embeddings, contents, embeddings, metadatas, kwargs.get("ids"))

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete documents by id, all of them if ``ids`` is None. Ids that are not there are passed over."""
        if ids is None:
            self.store.delete_matching(None)
        else:
            self.store.delete(ids)
        return True

    def delete_matching(self, filter: MetadataFilter) -> int:
        """Delete the documents that a filter accepts; return how many there were."""
        return self.store.delete_matching(as_filter(filter))

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids; those that are not there are left out."""
        return [_document(record) for record in self.store.documents.by_id(ids)]

    def similarity_search(
        self, query: str, k: int = 4, *, filter: MetadataFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the ``k`` documents most like the query."""
        return self.similarity_search_by_vector(self._embedding.embed_query(query), k, filter=filter)

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: MetadataFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Embed the query asynchronously and return the ``k`` documents most like it."""
        return await self.asimilarity_search_by_vector(await self._embedding.aembed_query(query), k, filter=filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: MetadataFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the ``k`` documents whose vectors are most like a vector."""
        return [_document(hit.record) for hit in self._hits(embedding, k, filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: MetadataFilter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return documents with scores: cosine or inner product (more is better); squared distance for "l2"."""
        hits = self._hits(self._embedding.embed_query(query), k, filter)
        return [(_document(hit.record), hit.score) for hit in hits]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: MetadataFilter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Embed the query asynchronously; see `similarity_search_with_score`."""
        vector = await self._embedding.aembed_query(query)
        hits = await run_in_executor(None, self._hits, vector, k, filter)
        return [(_document(hit.record), hit.score) for hit in hits]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Choose ``k`` of the ``fetch_k`` best documents so that they differ from one another."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: MetadataFilter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Choose ``k`` of the ``fetch_k`` best documents for a vector so that they differ from one another."""
        records = [hit.record for hit in self._hits(embedding, fetch_k, filter)]
        pairs = [(r, v) for r, v in zip(records, self.store.vectors(records), strict=True) if v is not None]
        if not pairs:
            return []
        query = np.array(embedding, dtype=np.float32)
        chosen = maximal_marginal_relevance(query, [vector.tolist() for _, vector in pairs], lambda_mult, k)
        return [_document(pairs[place][0]) for place in chosen]

    def _hits(self, vector: Sequence[float], k: int, filter: MetadataFilter | None) -> list[Hit]:
        return self.store.search(np.asarray(vector), k, None if filter is None else as_filter(filter))

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Return the map of scores to 0 … 1; inner products have no such range, so they are squashed."""
        return {
            "cosine": lambda cosine: (1 + cosine) / 2,
            "ip": lambda product: float(1 / (1 + np.exp(-product))),
            "l2": lambda distance: 1 / (1 + distance),
        }[self.store.options.metric]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | Path | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store (see the class for ``path`` and options) and add texts to it."""
        made = cls(embedding, path, **kwargs)
        made.add_texts(texts, metadatas, ids=ids)
        return made


def as_filter(given: MetadataFilter) -> Filter:
    """Translate a filter of LangChain's style.

    Raises
    ------
    TypeError, ValueError
        If it is neither a dict of known operators nor a function.
    """
    if callable(given):
        return Filter(Beyond(), lambda record: given(_document(record)))
    if not isinstance(given, dict):
        raise TypeError(f"filter: expected a dict or a function of a Document, got {type(given).__name__}")
    return Filter(_node(given))


def _node(given: dict[str, Any]) -> Node:
    parts: list[Node] = []
    for key, value in given.items():
        if key in ("$and", "$or"):
            if not isinstance(value, list | tuple):
                raise TypeError(f"filter: expected a list under {key}, got {value!r}")
            parts.append((All if key == "$and" else Some)(tuple(_node(part) for part in value)))
        elif key == "$not":
            parts.append(Not(_node(value)))
        elif key.startswith("$"):
            raise ValueError(f"filter: expected a field's name, $and, $or or $not, got {key!r}")
        else:
            field = Field((key,))
            conditions = value if isinstance(value, dict) else {"$eq": value}
            parts += [_condition(field, name, operand) for name, operand in conditions.items()]
    return All(tuple(parts))


def _condition(field: Field, name: str, operand: Any) -> Node:
    if name in OPERATORS:
        return Compare(field, OPERATORS[name], operand)
    if name == "$contains":
        return Some((Compare(field, "has text", operand), Compare(field, "has item", operand)))
    if name == "$exists":
        if not isinstance(operand, bool):
            raise ValueError(f"filter: expected true or false under $exists, got {operand!r}")
        return Not(Compare(field, "==", None)) if operand else Compare(field, "==", None)
    if name == "$between":
        if not isinstance(operand, list | tuple) or len(operand) != 2:
            raise ValueError(f"filter: expected [least, greatest] under $between, got {operand!r}")
        return All((Compare(field, ">=", operand[0]), Compare(field, "<=", operand[1])))
    raise ValueError(f"filter: expected one of {' '.join((*OPERATORS, *OTHERS))} for {field.path[0]!r}, got {name!r}")


def _document(record: Record) -> Document:
    return Document(id=record.id, page_content=record.text or "", metadata=dict(record.metadata))
