"""ipaq_index for VIBE. Training queries, where a data set has them, fit the codes to what will be asked."""

from ipaq_index import Index

from ..base.module import BaseANN

METRICS = {"cosine": "cosine", "euclidean": "l2", "ip": "ip", "normalized": "ip"}


class Ipaq(BaseANN):
    """An index over codes; parameters as in ``config.yml``."""

    def __init__(self, metric, bits, nlist, refine):
        if metric not in METRICS:
            raise NotImplementedError(f"ipaq: expected a metric of {', '.join(METRICS)}, got {metric!r}")
        self._metric, self._bits, self._nlist, self._refine = METRICS[metric], bits, nlist, refine
        self._nprobe = None

    def fit(self, X):
        self._build(X, None)

    def fit_ood(self, X_train, X_learn, X_learn_neighbors):
        self._build(X_train, X_learn)

    def _build(self, X, queries):
        self._index = Index(
            X.shape[1],
            bits=self._bits,
            metric=self._metric,
            nlist=self._nlist or None,
            refine=self._refine or None,
            threads=1,  # VIBE builds and asks on one core
        )
        self._index.build(X, queries=queries)
        self._index.search(X[:1], 1)  # kernels are compiled before the first timed query

    def set_query_arguments(self, nprobe):
        self._nprobe = nprobe or None

    def query(self, q, n):
        ids = self._index.search(q, n, nprobe=self._nprobe)[1][0]
        return ids[ids >= 0]

    def get_additional(self):
        return {"bytes_per_vector": self._index.bytes_per_vector}

    def __str__(self):
        return f"Ipaq(bits={self._bits}, nlist={self._nlist}, refine={self._refine or None}, nprobe={self._nprobe})"
