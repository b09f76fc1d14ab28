"""One index on many machines: a directory of shards, built and served on Ray (``pip install 'ipaq-index[ray]'``).

    from ipaq_index import distributed
    distributed.build("vectors/", "shards/", shards=8, column="emb", id_column="id", bits=4)
    with distributed.ShardedIndex("shards/", replicas=2) as index:
        scores, ids = index.search(q, k=10)

Ray is imported when a build starts or a `ShardedIndex` is made. Manifest, routing, log, merge and server know nothing
of it.
"""

from ipaq_index.distributed.build import build
from ipaq_index.distributed.errors import GenerationError, ManifestError, MissingShardsError
from ipaq_index.distributed.manifest import Manifest
from ipaq_index.distributed.sharded import Partial, ShardedIndex
from ipaq_index.distributed.writes import prune

__all__ = [
    "GenerationError",
    "Manifest",
    "ManifestError",
    "MissingShardsError",
    "Partial",
    "ShardedIndex",
    "build",
    "prune",
]
