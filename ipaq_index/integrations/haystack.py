"""Haystack's `DocumentStore` on `store.VectorDocuments`, and a retriever for pipelines (extra ``haystack``)."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ipaq_index.integrations.documents import DuplicateIdError, Duplicates, Record
from ipaq_index.integrations.filters import All, Beyond, Compare, Field, Filter, Node, Not, Operator, Some
from ipaq_index.integrations.store import HoldsStore, VectorDocuments

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy, FilterPolicy, apply_filter_policy
    from haystack.errors import FilterError
    from haystack.utils.filters import document_matches_filter
except ImportError as error:
    raise ImportError(f"{error}; Haystack comes with: pip install 'ipaq-index[haystack]'") from error

DUPLICATES: dict[DuplicatePolicy, Duplicates] = {
    DuplicatePolicy.NONE: "fail",
    DuplicatePolicy.FAIL: "fail",
    DuplicatePolicy.SKIP: "skip",
    DuplicatePolicy.OVERWRITE: "overwrite",
}
OPERATORS: tuple[Operator, ...] = ("==", "!=", ">", ">=", "<", "<=", "in", "not in")
DATE = re.compile(r"\d{4}-\d\d-\d\d")  # Haystack compares what begins so as points in time
TYPES = {bool: "boolean", int: "int", float: "float"}
APART = ("id", "content", "meta", "embedding", "score")  # fields of a Document that have a place of their own, or none


class IPAQDocumentStore(HoldsStore):
    """Documents in SQLite and their embeddings in compressed codes.

    Parameters
    ----------
    path : path-like, optional
        Directory of the store; in memory without one. What is there already is opened.
    **options
        `store.Options`: metric ("cosine", "ip", "l2"), bits, keep_vectors, exact_below, seed.

    Notes
    -----
    Every method has a twin ``…_async``. Filters are decided by SQLite where it can say the same; comparisons of dates,
    of strings by order, or of anything but metadata are left to Haystack's own code. A number is never above or below
    a string.
    """

    def __init__(self, path: str | Path | None = None, **options: Any) -> None:
        self._arguments = {"path": None if path is None else str(path), **options}
        self.store = VectorDocuments(path, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes this store of; documents stay in its directory."""
        return default_to_dict(self, **self._arguments)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "IPAQDocumentStore":
        """Make the store that `to_dict` was called on."""
        made: IPAQDocumentStore = default_from_dict(cls, data)
        return made

    def save(self) -> None:
        """Write the index to the store's directory; documents are durable as soon as they are written."""
        self.store.save()

    def count_documents(self) -> int:
        """Return the number of documents."""
        return len(self.store)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Return the number of documents that the filters accept."""
        chosen = as_filter(filters)
        return self.count_documents() if chosen is None else len(self.store.documents.keys(chosen))

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that the filters accept, in the order in which they were written."""
        return self._documents(self.store.documents.select(as_filter(filters)))

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents, all or none; `DuplicatePolicy.NONE` means FAIL. Return how many were written."""
        if isinstance(documents, str) or not isinstance(documents, Iterable):
            raise ValueError(f"documents: expected a list of Document, got {type(documents).__name__}")
        given = list(documents)
        for document in given:
            if not isinstance(document, Document):
                raise ValueError(f"documents: expected a list of Document, got one of {type(document).__name__}")
        embeddings = [document.embedding for document in given]
        try:
            return len(self.store.write([_record(document) for document in given], embeddings, DUPLICATES[policy]))
        except DuplicateIdError as error:
            raise DuplicateDocumentError(str(error)) from error

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by id; ids that are not there are passed over."""
        self.store.delete(document_ids)

    def delete_all_documents(self) -> None:
        """Delete all documents."""
        self.store.delete_matching(None)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that the filters accept; return how many there were."""
        return self.store.delete_matching(as_filter(filters))

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Merge ``meta`` into the documents that the filters accept; return how many there were."""
        return self.store.update_metadata(as_filter(filters), meta)

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """Return how many different values each field has among the documents that the filters accept."""
        records = self.store.documents.select(as_filter(filters))
        names = [name.removeprefix("meta.") for name in metadata_fields]
        return {name: len({repr(v) for v in _values(records, name)}) for name in names}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return the type of each metadata field: "keyword", "int", "float" or "boolean"."""
        records = self.store.documents.select()
        names = dict.fromkeys(name for record in records for name in record.metadata)
        kinds = {name: [TYPES.get(type(v), "keyword") for v in _values(records, name)] for name in names}
        return {name: {"type": found[-1]} for name, found in kinds.items() if found}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest value of a field; None where values have no common order."""
        records = self.store.documents.select()
        values = [v for v in _values(records, metadata_field.removeprefix("meta.")) if isinstance(v, int | float | str)]
        try:
            return {"min": min(values, default=None), "max": max(values, default=None)}
        except TypeError:
            return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return a page of a field's different values in the order of their texts, and how many there are in all.

        ``search_term`` keeps the values whose text contains it, whatever the case.
        """
        records = self.store.documents.select(as_filter(filters))
        unique = {repr(value): value for value in _values(records, metadata_field.removeprefix("meta."))}
        wanted = (search_term or "").lower()
        values = sorted(
            (value for value in unique.values() if wanted in str(value).lower()),
            key=lambda value: (str(value), type(value).__name__),
        )
        return values[from_ : from_ + size], len(values)

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
    ) -> list[Document]:
        """Return the ``top_k`` documents whose embeddings are most like the query's, with scores.

        Scores are cosines or inner products; for "l2" minus the squared distance, as Haystack takes more for better.
        ``scale_score`` maps them to 0 … 1.
        """
        if not len(query_embedding):
            raise ValueError("query_embedding: expected a vector, got an empty list")
        hits = self.store.search(np.asarray(query_embedding), top_k, as_filter(filters))
        documents = self._documents([hit.record for hit in hits], return_embedding)
        scores = [self._score(hit.score, scale_score) for hit in hits]
        return [replace(document, score=score) for document, score in zip(documents, scores, strict=True)]

    def _score(self, score: float, scaled: bool) -> float:
        metric = self.store.options.metric
        if metric == "l2":
            return 1 / (1 + score) if scaled else -score
        if not scaled:
            return score
        # 100 is what Haystack's own store divides inner products by before the logistic function.
        return (1 + score) / 2 if metric == "cosine" else float(1 / (1 + np.exp(-score / 100)))

    def _documents(self, records: list[Record], with_embedding: bool = True) -> list[Document]:
        vectors = self.store.vectors(records) if with_embedding else [None] * len(records)
        return [
            _document(record, None if vector is None else vector.tolist())
            for record, vector in zip(records, vectors, strict=True)
        ]

    async def count_documents_async(self) -> int:
        """See `count_documents`."""
        return await asyncio.to_thread(self.count_documents)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """See `count_documents_by_filter`."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """See `filter_documents`."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """See `write_documents`."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """See `delete_documents`."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """See `delete_all_documents`."""
        await asyncio.to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """See `delete_by_filter`."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """See `update_by_filter`."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """See `count_unique_metadata_by_filter`."""
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """See `get_metadata_fields_info`."""
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """See `get_metadata_field_min_max`."""
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """See `get_metadata_field_unique_values`."""
        return await asyncio.to_thread(
            self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters
        )

    async def embedding_retrieval_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
    ) -> list[Document]:
        """See `embedding_retrieval`."""
        return await asyncio.to_thread(
            self.embedding_retrieval, query_embedding, filters, top_k, scale_score, return_embedding
        )


@component
class IPAQEmbeddingRetriever:
    """The documents of an `IPAQDocumentStore` most like a query's embedding, as a component of pipelines.

    Parameters
    ----------
    document_store : IPAQDocumentStore
        Where to look.
    filters : dict, optional
        Filters of every run; ``filter_policy`` says what becomes of a run's own.
    top_k : int
        How many documents.
    scale_score : bool
        Whether scores are mapped to 0 … 1.
    return_embedding : bool
        Whether documents carry their embeddings.
    filter_policy : FilterPolicy
        REPLACE or MERGE.
    """

    def __init__(
        self,
        document_store: IPAQDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(document_store, IPAQDocumentStore):
            raise TypeError(f"document_store: expected an IPAQDocumentStore, got {type(document_store).__name__}")
        if top_k <= 0:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        self.document_store, self.filters, self.top_k = document_store, filters, top_k
        self.scale_score, self.return_embedding, self.filter_policy = scale_score, return_embedding, filter_policy

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes this component of."""
        arguments = {name: getattr(self, name) for name in ("filters", "top_k", "scale_score", "return_embedding")}
        data: dict[str, Any] = default_to_dict(
            self, document_store=self.document_store.to_dict(), filter_policy=self.filter_policy.value, **arguments
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "IPAQEmbeddingRetriever":
        """Make the component that `to_dict` was called on."""
        arguments = data["init_parameters"]
        arguments["document_store"] = IPAQDocumentStore.from_dict(arguments["document_store"])
        arguments["filter_policy"] = FilterPolicy.from_str(arguments["filter_policy"])
        made: IPAQEmbeddingRetriever = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return ``{"documents": …}``, best first."""
        return {"documents": self._retrieve(query_embedding, filters, top_k)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return ``{"documents": …}``, best first."""
        return {"documents": await asyncio.to_thread(self._retrieve, query_embedding, filters, top_k)}

    def _retrieve(self, embedding: list[float], filters: dict[str, Any] | None, top_k: int | None) -> list[Document]:
        chosen = apply_filter_policy(self.filter_policy, self.filters, filters)
        return self.document_store.embedding_retrieval(
            embedding, chosen, top_k or self.top_k, self.scale_score, self.return_embedding
        )


def as_filter(filters: dict[str, Any] | None) -> Filter | None:
    """Translate Haystack's filters; None and {} accept everything.

    Raises
    ------
    FilterError
        If an operator is missing where the filters begin; deeper faults are found when a document is looked at.
    """
    if not filters:
        return None
    if "operator" not in filters:
        raise FilterError(f"filters: expected an 'operator', got {filters}")
    return Filter(_node(filters), partial(_matches, filters))


def _matches(filters: dict[str, Any], record: Record) -> bool:
    return bool(document_matches_filter(filters, _document(record, None)))


def _node(given: dict[str, Any]) -> Node:
    operator = given.get("operator")
    if "field" not in given:
        conditions = given.get("conditions")
        if operator not in ("AND", "OR", "NOT") or not isinstance(conditions, list):
            return Beyond()
        parts = tuple(_node(condition) for condition in conditions)
        return Some(parts) if operator == "OR" else All(parts) if operator == "AND" else Not(All(parts))
    root, *path = given["field"].split(".")
    if operator not in OPERATORS or "value" not in given or root in ("embedding", "score", "content", "blob"):
        return Beyond()
    value = given["value"]
    values = value if isinstance(value, list) else [value]
    ordered = operator in (">", ">=", "<", "<=")
    if any(isinstance(v, str) and (ordered or DATE.match(v)) for v in values) or ("in" in operator) != (
        value is values
    ):
        return Beyond()
    field = Field(column="id") if root == "id" and not path else Field(tuple(path) if root == "meta" else (root, *path))
    return Compare(field, operator, value)


def _record(document: Document) -> Record:
    others = {name: value for name, value in document.to_dict(flatten=False).items() if name not in APART}
    extra = {name: value for name, value in others.items() if value is not None}
    return Record(document.id, document.content, document.meta, extra={"haystack": extra} if extra else None)


def _document(record: Record, embedding: list[float] | None) -> Document:
    extra = (record.extra or {}).get("haystack", {})
    return Document.from_dict(
        {"id": record.id, "content": record.text, "meta": dict(record.metadata), "embedding": embedding, **extra}
    )


def _values(records: list[Record], name: str) -> list[Any]:
    return [value for record in records if (value := record.metadata.get(name)) is not None]
