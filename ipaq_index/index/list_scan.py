"""Scanning the lists that queries probe, one list after the other."""

import numpy as np
import numpy.typing as npt

from ipaq_index import scan

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def top_k_lists(
    packed: scan.PackedCodes,
    p: Floats,
    k: int,
    offset: Floats,
    spans: Ids,
    probes: Ids,
    probe_offset: Floats,
    allowed: npt.NDArray[np.uint32],
    threads: int,
) -> tuple[Floats, Ids]:
    """Return the ``k`` best rows of the probed lists.

    Parameters
    ----------
    packed, p, k, offset, allowed, threads
        As in `scan.top_k`.
    spans : (nlist, 2) int64
        First block of each list, and the one after its last.
    probes : (nq, nprobe) int64
        Lists of each query, -1 for none.
    probe_offset : (nq, nprobe) float32
        Added to the scores that a query finds in a list.
    """
    scores = np.full((len(p), k), -np.inf, dtype=np.float32)
    rows = np.full((len(p), k), -1, dtype=np.int64)
    for n in np.unique(probes[probes >= 0]):
        first, last = spans[n]
        if first == last:
            continue
        queries, place = np.nonzero(probes == n)
        part = slice(first * scan.BLOCK, last * scan.BLOCK)
        bias = None if packed.bias is None else packed.bias[part]
        view = scan.PackedCodes(
            packed.codebook, packed.blocks[first:last], packed.side[part], bias, int(last - first) * scan.BLOCK
        )
        found = scan.top_k(
            view, p[queries], k, offset[queries] + probe_offset[queries, place], allowed[first:last], threads
        )
        both = np.hstack([scores[queries], found[0]])
        who = np.hstack([rows[queries], np.where(found[1] < 0, -1, found[1] + first * scan.BLOCK)])
        best = np.lexsort((who, -both))[:, :k]
        scores[queries], rows[queries] = np.take_along_axis(both, best, 1), np.take_along_axis(who, best, 1)
    return scores, rows
