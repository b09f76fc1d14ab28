"""Indexes from a line of text."""

import re
from typing import Any

from ipaq_index.index.config import METRICS, Metric
from ipaq_index.index.index import Index

POSSIBLE = (
    "'[IVF<lists>,]IPAQ<bits>[,Refine(fp16|sq8)]', such as 'IPAQ4', 'IVF1024,IPAQ2.5', 'IVF,IPAQ4' (lists chosen by "
    "the number of vectors) or 'IVF4096,IPAQ4,Refine(fp16)'"
)
FAISS_METRICS: dict[int, Metric] = {0: "ip", 1: "l2"}  # faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2


def index_factory(dim: int, description: str, metric: str | int = "ip", **arguments: Any) -> Index:
    """Make an index from its description, as FAISS users write it.

    Parameters
    ----------
    dim : int
        Dimension of the vectors.
    description : str
        Parts, separated by commas: ``IVF1024`` (or ``IVF``: number of lists chosen) for a partitioned index, then
        ``IPAQ4`` with the bits a dimension (``IPAQ2.5`` too), then maybe ``Refine(fp16)`` or ``Refine(sq8)``.
    metric : str or int
        "ip", "cosine" or "l2", or FAISS's constants METRIC_INNER_PRODUCT and METRIC_L2.
    **arguments
        More arguments of `Index`, such as ``seed`` and ``threads``.

    Raises
    ------
    ValueError
        If the description cannot be read; the message says what is possible.

    Examples
    --------
    >>> index_factory(96, "IVF1024,IPAQ2.5", metric="l2")
    Index(dim=96, metric='l2', nlist=1024, bytes_per_vector=36, not trained)
    """
    if not isinstance(description, str):
        raise TypeError(f"description: expected a text like {POSSIBLE}, got {description!r}")
    pattern = r"(?:IVF(auto|\d*),)?IPAQ(\d+(?:\.\d+)?|\.\d+)?(?:,Refine\((\w+)\))?"
    match = re.fullmatch(pattern, "".join(description.split()), re.IGNORECASE)
    if match is None:
        raise ValueError(f"description: expected {POSSIBLE}, got {description!r}")
    lists, bits, refine = match.groups()
    given = {
        "nlist": None if lists is None else "auto" if lists.lower() in ("", "auto") else int(lists),
        "bits": None if bits is None else float(bits),
        "refine": None if refine is None else refine.lower(),
    }
    twice = sorted(name for name in given if name in arguments)
    if twice:
        raise TypeError(f"{', '.join(twice)}: expected in the description only, got as an argument too")
    return Index(dim, metric=_metric(metric), **given, **arguments)  # type: ignore[arg-type]


def _metric(metric: str | int) -> Metric:
    if not isinstance(metric, str) and metric in FAISS_METRICS:
        return FAISS_METRICS[metric]
    for known in METRICS:
        if metric == known:
            return known
    raise ValueError(f"metric: expected one of {', '.join(METRICS)} (or FAISS's 0 for ip, 1 for l2), got {metric!r}")
