"""The best rows for each query: sharing out queries and blocks among threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ipaq_index.scan import kernel
from ipaq_index.scan.isa import Isa, choose
from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.packed import Floats, PackedCodes, Words
from ipaq_index.scan.reservoir import cut

GROUP = 8  # queries that share the loads of codes: as many as leave their sums in 32 vector registers
FEW = 4  # fewer queries than this are scanned one by one, more fill up a group
BATCH = 128  # queries whose tables and candidates are held at a time
CANDIDATE_BYTES = 1 << 26  # of a batch: large k makes batches smaller
SMALL = 1 << 22  # look-ups below which threads cost more than they bring (about 0.1 ms)

Ids = npt.NDArray[np.int64]


def top_k(
    packed: PackedCodes,
    p: Floats,
    k: int,
    offset: Floats,
    allowed: Words | None = None,
    threads: int = 1,
    isa: Isa | None = None,
) -> tuple[Floats, Ids]:
    """Return the ``k`` rows of largest score for each query.

    The score of a row is ``offset + scale * sum_j p_j level_j (+ bias)``, exactly, from its codes. Which rows are
    scored so is decided by a scan with 8-bit tables.

    Parameters
    ----------
    packed : PackedCodes
        The rows.
    p : (nq, d) float32
        Projected queries.
    k : int
        How many rows.
    offset : (nq,) float32
        Added to all scores of a query.
    allowed : (nb,) uint32, optional
        Bit i of word b: whether row 32 b + i may be returned.
    threads : int
        Threads to use; the result does not depend on it.
    isa : Isa, optional
        Instruction set; the result does not depend on it. See `ipaq_index.scan.isa.choose`.

    Returns
    -------
    scores : (nq, k) float32
        Descending, ties by row; -inf where there are fewer rows.
    rows : (nq, k) int64
        -1 where there are fewer.
    """
    isa = isa or choose()
    scores = np.full((len(p), k), -np.inf, dtype=np.float32)
    best = np.full((len(p), k), -1, dtype=np.int64)
    blocks = -(-packed.count // BLOCK)
    if not blocks:
        return scores, best
    rows, meaning = packed.rows(allowed), packed.codebook.meaning
    keep = min(packed.count, candidates(k, packed.codebook.trellis))
    if len(p) * blocks * BLOCK * packed.codebook.layout.pairs * 2 < SMALL:
        threads = 1
    parts = _parts(len(p), keep, threads)
    spans = _spans(blocks, threads if len(parts) == 1 else 1)

    def scan(part: slice, span: tuple[int, int]) -> kernel.Candidates:
        group = (0,) * (GROUP if part.stop - part.start >= FEW else 1)
        return kernel.gather(isa, group, rows, meaning, p[part], span, keep)

    def finish(part: slice, found: kernel.Candidates) -> None:
        kernel.finish(rows, meaning, p[part], offset[part], found.rows, found.counts, scores[part], best[part])

    if threads == 1:
        for part in parts:
            finish(part, scan(part, spans[0]))
    else:
        with ThreadPoolExecutor(threads) as pool:
            if len(parts) == 1:
                found = list(pool.map(lambda span: scan(parts[0], span), spans))
                finish(parts[0], _merged(found, keep))
            else:
                list(pool.map(lambda part: finish(part, scan(part, spans[0])), parts))
    return scores, best


def candidates(k: int, trellis: bool) -> int:
    """Return how many rows the scan hands on to exact scoring, so that recall@k is that of exact scoring to 0.002.

    8-bit tables blur scores by far less than the codes do. With a trellis a scan sees the mean of a symbol's two levels
    and is about as sharp as codes of one bit less, hence more candidates.
    """
    return 5 * k + 50 if trellis else 2 * k + 20


def _parts(queries: int, keep: int, threads: int) -> list[slice]:
    """Share out queries: whole groups, a part a thread at least where there are enough; a few left go apart."""
    afford = CANDIDATE_BYTES // (12 * (2 * keep + BLOCK))
    size = min(BATCH, afford, -(-queries // threads)) // GROUP * GROUP
    size = max(GROUP, size)
    whole = queries // GROUP * GROUP
    parts = [slice(first, min(first + size, whole)) for first in range(0, whole, size)]
    if queries > whole:
        parts.append(slice(whole, queries))
    return parts


def _spans(blocks: int, count: int) -> list[tuple[int, int]]:
    """Cut the blocks into ``count`` spans, or fewer where there are fewer blocks."""
    size = -(-blocks // count)
    return [(first, min(first + size, blocks)) for first in range(0, blocks, size)]


def _merged(parts: list[kernel.Candidates], keep: int) -> kernel.Candidates:
    """Join the candidates that several spans gave for the same queries."""
    counts = np.sum([part.counts for part in parts], axis=0)
    scores = np.empty((len(counts), counts.max(initial=0)), dtype=np.float32)
    rows = np.empty(scores.shape, dtype=np.int64)
    for q, count in enumerate(counts):
        np.concatenate([part.scores[q, : part.counts[q]] for part in parts], out=scores[q, :count])
        np.concatenate([part.rows[q, : part.counts[q]] for part in parts], out=rows[q, :count])
        if count > keep:
            cut(scores[q], rows[q], count, keep)
    return kernel.Candidates(scores, rows, np.minimum(counts, keep))
