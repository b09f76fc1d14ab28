"""ipaq_index for ann-benchmarks."""

import numpy as np

from ipaq_index import Index

from ..base.module import BaseANN

METRICS = {"angular": "cosine", "euclidean": "l2", "ip": "ip", "dot": "ip"}


class Ipaq(BaseANN):
    """An index over codes.

    Parameters
    ----------
    metric : str
        As ann-benchmarks names it.
    bits : float
        Bits a dimension.
    nlist : int
        Inverted lists; 0 for a flat index.
    refine : str
        "fp16", "sq8" or empty.
    """

    def __init__(self, metric, bits, nlist=0, refine=""):
        if metric not in METRICS:
            raise NotImplementedError(f"ipaq: expected a metric of {', '.join(METRICS)}, got {metric!r}")
        self._metric, self._bits, self._nlist, self._refine = METRICS[metric], bits, nlist, refine
        self._nprobe = None

    def fit(self, X):
        self._index = Index(
            X.shape[1], bits=self._bits, metric=self._metric, nlist=self._nlist or None, refine=self._refine or None
        )
        self._index.build(X)
        self._index.search(X[:1], 1, threads=1)  # kernels are compiled before the first timed query

    def set_query_arguments(self, nprobe):
        self._nprobe = nprobe or None

    def query(self, q, n):
        ids = self._index.search(q, n, nprobe=self._nprobe, threads=1)[1][0]
        return ids[ids >= 0]

    def batch_query(self, X, n):
        self.res = self._index.search(X, n, nprobe=self._nprobe)[1]

    def get_batch_results(self):
        return [row[row >= 0] for row in np.asarray(self.res)]

    def get_additional(self):
        return {"bytes_per_vector": self._index.bytes_per_vector}

    def __str__(self):
        return f"Ipaq(bits={self._bits}, nlist={self._nlist}, refine={self._refine or None}, nprobe={self._nprobe})"
