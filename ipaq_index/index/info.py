"""What there is to know about an index."""

from typing import Any

from ipaq_index.index.config import IndexConfig
from ipaq_index.index.content import Content


def info(config: IndexConfig, content: Content | None, nprobe: int | None) -> dict[str, Any]:
    """Return parameters, sizes, lists and bytes of memory as JSON-able values."""
    known: dict[str, Any] = {
        "config": config.to_dict(),
        "is_trained": content is not None,
        "ntotal": 0,
        "bytes_per_vector": config.code_bytes() + config.side_bytes,
        "bytes_codes": config.code_bytes(),
        "bytes_beside": config.side_bytes,
    }
    if content is None:
        return known
    runs = content.runs
    known |= {
        "ntotal": content.total,
        "bits_by_dimension": content.quantizer.rates,
        "removed": runs.holes,
        "blocks": runs.blocks,
        "memory": {
            "rows": sum(array.nbytes for array in content.rows.arrays().values()) + runs.words.nbytes,
            "ids": content.ids.nbytes,
            "quantizer": sum(array.nbytes for array in content.quantizer.to_arrays()[1].values()),
            "centroids": 0 if content.partition is None else content.partition.centroids.nbytes,
        },
        "lists": None,
    }
    if content.partition is not None:
        count = runs.count
        known["lists"] = {
            "nlist": content.nlist,
            "nprobe": nprobe,
            "empty": int((count == 0).sum()),
            "smallest": int(count.min()),
            "median": float(sorted(count.tolist())[len(count) // 2]),
            "largest": int(count.max()),
            # 1 for lists of one length; a search scans so many times the vectors that it would then
            "imbalance": float(content.nlist * (count.astype(float) ** 2).sum() / max(1, content.total) ** 2),
        }
    return known
