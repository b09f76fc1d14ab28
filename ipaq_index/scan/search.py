"""The best rows for each query."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.scan.layout import BLOCK, NIBBLE, Blocks, Pieces
from ipaq_index.scan.packed import PackedCodes

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]


def top_k(
    packed: PackedCodes,
    p: Vectors,
    k: int,
    offset: npt.NDArray[np.float32],
    allowed: Words | None = None,
    threads: int = 1,
) -> tuple[Vectors, Rows]:
    """Return the ``k`` rows of largest score for each query.

    The score of a row is ``offset + scale * sum_j p_j level_j (+ bias)``, exactly, from its codes.

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

    Returns
    -------
    scores : (nq, k) float32
        Descending, ties by row; -inf where there are fewer rows.
    rows : (nq, k) int64
        -1 where there are fewer.
    """
    scores = np.full((len(p), k), -np.inf, dtype=np.float32)
    rows = np.full((len(p), k), -1, dtype=np.int64)
    blocks = packed.blocks[: -(-packed.count // BLOCK)]
    words = np.full(len(blocks), 0xFFFFFFFF, dtype=np.uint32) if allowed is None else allowed
    bias = np.zeros(0, dtype=np.float32) if packed.bias is None else packed.bias
    state_bits, base, step = packed.codebook.scale_format

    def one(i: int) -> None:
        scan(
            blocks, packed.count, packed.side, bias, words, packed.layout.pieces, packed.codebook.levels, p[i],
            offset[i],
            state_bits, base, step, scores[i], rows[i],
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(len(p))))
    return scores, rows


@njit(nogil=True, cache=True)
def scan(
    blocks: Blocks,
    count: int,
    side: np.ndarray,
    bias: Vectors,
    words: Words,
    pieces: Pieces,
    levels: Vectors,
    p: Vectors,
    offset: float,
    state_bits: int,
    base: int,
    step: int,
    scores: Vectors,
    rows: Rows,
) -> None:
    """Score every allowed row of ``blocks`` for one query and keep the best in ``scores`` and ``rows``."""
    symbols = np.zeros((len(levels), BLOCK), dtype=np.int64)
    sums = np.zeros(BLOCK, dtype=np.float32)
    scale = np.zeros(1, dtype=np.int32)
    for b in range(len(blocks)):
        if not words[b]:
            continue
        symbols[:] = 0
        for n in range(pieces.shape[0]):
            j, shift, width, nibble, position = pieces[n]
            for i in range(BLOCK):
                value = np.int64(blocks[b, nibble // 2, i]) >> (position + NIBBLE * (nibble % 2))
                symbols[j, i] |= (value & ((1 << width) - 1)) << shift
        sums[:] = 0
        for j in range(len(levels)):
            for i in range(BLOCK):
                sums[i] += p[j] * levels[j, symbols[j, i]]
        for i in range(min(BLOCK, count - b * BLOCK)):
            row = b * BLOCK + i
            if words[b] >> np.uint32(i) & np.uint32(1):
                code = np.int64(side[row]) >> state_bits
                scale[0] = base + step * code
                score = offset + (scale.view(np.float32)[0] * sums[i] if code else np.float32(0))
                if len(bias):
                    score += bias[row]
                keep(np.float32(score), row, scores, rows)


@njit(nogil=True, cache=True)
def keep(score: np.float32, row: int, scores: Vectors, rows: Rows) -> None:
    """Insert a row into descending ``scores`` where it belongs; equal scores stand in the order of insertion."""
    place = len(scores)
    while place and (rows[place - 1] < 0 or scores[place - 1] < score):
        place -= 1
    if place == len(scores):
        return
    for i in range(len(scores) - 1, place, -1):
        scores[i], rows[i] = scores[i - 1], rows[i - 1]
    scores[place], rows[place] = score, row
