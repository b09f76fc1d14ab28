"""How many lists to probe."""

import numpy as np

from ipaq_index.index.search import Search


def recall_by_nprobe(search: Search, k: int) -> np.ndarray:
    """Return (nlist,) shares of the ``k`` best rows that probing 1, 2, … lists finds.

    The reference is the answer with all lists probed. A row of it is found if and only if its list is probed, so one
    search tells the whole curve.

    Parameters
    ----------
    search : Search
        Of a partitioned index, all lists probed.
    k : int
        Neighbours.
    """
    content = search.content
    assert content.partition is not None
    rows = search.top(k)[1]
    ranks = content.partition.ranks(search.q)
    places = np.zeros(content.nlist, dtype=np.int64)
    for n, row in enumerate(rows):
        places += np.bincount(ranks[n, content.runs.lists(row[row >= 0])], minlength=content.nlist)
    return np.cumsum(places) / max(1, places.sum())
