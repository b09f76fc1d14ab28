"""The compiled part of a search: tables, scan, exact scoring. Sees arrays only."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.scan.block import BLOCK, QUAD, TOP, Frame, addresses, next_block, scale
from ipaq_index.scan.packed import Floats, Meaning, Rows
from ipaq_index.scan.reservoir import cut, insert

TILE_BYTES = 1 << 18  # codes that all groups of queries read before the next are fetched: a quarter of an L2 cache

Luts = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int64]


class Candidates(NamedTuple):
    """What a scan has found so far, by query.

    Attributes
    ----------
    scores, rows : (nq, room) float32, (nq, room) int64
        Scan scores in units of the query's step, and rows, in no order; room for twice what is kept, and a block.
    counts : (nq,) int64
        How many are valid.
    """

    scores: Floats
    rows: Ids
    counts: Ids


@njit(nogil=True, cache=True)
def gather(
    isa: Any, group: tuple[int, ...], rows: Rows, meaning: Meaning, p: Floats, span: tuple[int, int], keep: int
) -> Candidates:
    """Scan a span of blocks for the candidates of some queries.

    Parameters
    ----------
    isa, group : Isa, tuple of int
        See `next_block`.
    rows, meaning : Rows, Meaning
        Codes and what they mean.
    p : (nq, d) float32
        Projected queries.
    span : (int, int)
        First block, and the one after the last.
    keep : int
        Candidates to keep for each query: the best by scan score, or all if there are fewer.
    """
    queries, size = len(p), len(group)
    room = 2 * keep + BLOCK
    scores, found = np.empty((queries, room), dtype=np.float32), np.empty((queries, room), dtype=np.int64)
    candidates = Candidates(scores, found, np.zeros(queries, dtype=np.int64))
    block_bytes = max(1, rows.blocks.shape[1] * BLOCK)
    tile = min(max(1, TILE_BYTES // block_bytes), span[1] - span[0])
    frame = make_frame(p, meaning, rows.blocks.shape[1], size)
    at = addresses(rows, frame)
    for tile_first in range(span[0], span[1], tile):
        tile_last = min(tile_first + tile, span[1])
        for first in range(0, len(frame.luts), size):
            block = tile_first
            while block < tile_last:
                last = tile_last
                if len(rows.words):
                    last = block + 1
                    if not rows.words[block]:
                        block = last
                        continue
                block = next_block(isa, group, rows, meaning.scale_format, (block, last), first, frame, at)
                if block < last:
                    for g in range(min(size, queries - first)):
                        if frame.above[g]:
                            collect(frame, g, rows, meaning, block, candidates, first + g, keep)
                    block += 1
    for q in range(queries):
        if candidates.counts[q] > keep:
            cut(scores[q], found[q], candidates.counts[q], keep)
            candidates.counts[q] = keep
    return candidates


@njit(nogil=True, cache=True)
def make_frame(p: Floats, meaning: Meaning, pairs: int, size: int) -> Frame:
    """Return tables and room for queries, filled up to whole groups of ``size`` with some that accept nothing."""
    padded = -(-len(p) // size) * size
    luts = np.zeros((padded, -(-pairs // QUAD), 2, QUAD, 16), dtype=np.uint8)
    start, inverse = np.zeros(padded, dtype=np.int32), np.zeros(padded, dtype=np.float32)
    floors = np.full(padded, np.inf, dtype=np.float32)
    for q in range(len(p)):
        start[q], step = fill_lut(p[q], meaning, luts[q])
        inverse[q], floors[q] = np.float32(1) / step, -np.inf
    sums, above = np.empty((size, BLOCK), dtype=np.int32), np.empty(size, dtype=np.uint32)
    return Frame(luts, start, floors, inverse, sums, above, np.empty(1, dtype=np.int32))


@njit(nogil=True, cache=True)
def fill_lut(p: Floats, meaning: Meaning, lut: Luts) -> tuple[int, np.float32]:
    """Fill one query's tables (zeros on entry); return start and step: sums stand for ``step * (start + look-ups)``.

    Each table's minimum goes into the start; all share one step, so that look-ups add up without weights.

    Parameters
    ----------
    p : (d,) float32
    meaning : Meaning
    lut : (quads, 2, 4, 16) uint8
    """
    nibbles = 2 * QUAD * len(lut)
    table = np.zeros((nibbles, 16), dtype=np.float32)
    for n in range(len(meaning.pieces)):
        j, _, width, nibble, position = meaning.pieces[n]
        for value in range(16):
            table[nibble, value] += p[j] * meaning.piece_values[n, (value >> position) & ((1 << width) - 1)]
    base, widest = np.float32(0), np.float32(0)
    for pair in range(nibbles // 2):
        together = np.float32(0)
        for nibble in (2 * pair, 2 * pair + 1):
            least = table[nibble].min()
            base += least
            table[nibble] -= least
            together += table[nibble].max()
        widest = max(widest, together)
    step = np.float32(widest / (TOP - 1)) if widest > 0 else np.float32(1)  # two entries may be rounded up
    for nibble in range(nibbles):
        pair, part = nibble // 2, nibble % 2
        for value in range(16):
            lut[pair // QUAD, part, pair % QUAD, value] = np.int64(table[nibble, value] / step + np.float32(0.5))
    return int(np.rint(base / step)), step


@njit(nogil=True, cache=True)
def collect(
    frame: Frame, g: int, rows: Rows, meaning: Meaning, block: int, candidates: Candidates, q: int, keep: int
) -> None:
    """Add a block's rows above the floor to query q's candidates; if that is too many, cut them and raise the floor."""
    above = frame.above[g]
    if len(rows.words):
        above &= rows.words[block]
    count = candidates.counts[q]
    for i in range(min(BLOCK, rows.size - block * BLOCK)):
        if above >> np.uint32(i) & np.uint32(1):
            row = block * BLOCK + i
            score = scale(rows.side[row], meaning.scale_format, frame.bits) * np.float32(frame.sums[g, i])
            if len(rows.bias):
                score += rows.bias[row] * frame.inverse[q]
            candidates.scores[q, count], candidates.rows[q, count] = score, row
            count += 1
    if count > candidates.scores.shape[1] - BLOCK:
        cut(candidates.scores[q], candidates.rows[q], count, keep)
        count = keep
        frame.floors[q] = candidates.scores[q, :keep].min()
    candidates.counts[q] = count


@njit(nogil=True, cache=True)
def finish(
    rows: Rows, meaning: Meaning, p: Floats, offset: Floats, found: Ids, counts: Ids, scores: Floats, best: Ids
) -> None:
    """Score candidates exactly from their codes and sort the best into the result.

    Parameters
    ----------
    rows, meaning, p, offset
        As in `gather`.
    found, counts : (nq, m), (nq,) int64
        Candidates.
    scores, best : (nq, k) float32, (nq, k) int64
        Result; -inf and -1 on entry.
    """
    bits = np.empty(1, dtype=np.int32)
    for q in range(len(p)):
        for n in range(counts[q]):
            row = found[q, n]
            score = offset[q] + exact(rows, meaning, p[q], row, bits)
            insert(np.float32(score), row, n, scores[q], best[q])


@njit(nogil=True, cache=True)
def exact(rows: Rows, meaning: Meaning, p: Floats, row: int, bits: npt.NDArray[np.int32]) -> np.float32:
    """Return ``scale * sum_j p_j level_j + bias`` of one row, walking the trellis where there is one.

    ``bits`` is room for an int32.
    """
    block, lane = row // BLOCK, row % BLOCK
    trellis = len(meaning.next_state) > 1
    state = np.int64(rows.side[row]) & ((1 << meaning.scale_format[0]) - 1)
    total = np.float32(0)
    for j in range(len(p)):
        nibble, shift, mask, low_nibble, low_shift, low_mask = meaning.places[j]
        code = np.int64(rows.blocks[block, nibble // 2, lane]) >> (shift + 4 * (nibble % 2)) & mask
        if low_mask:
            low = np.int64(rows.blocks[block, low_nibble // 2, lane]) >> (low_shift + 4 * (low_nibble % 2)) & low_mask
            code = code << (np.int64(meaning.bits[j]) - 4) | low
        if trellis and mask:
            level = 2 * code + (state & 1)
            state = np.int64(meaning.next_state[state, code & 1])
        else:
            level = code
        total += p[j] * meaning.levels[j, level]
    score = scale(rows.side[row], meaning.scale_format, bits) * total
    if len(rows.bias):
        score += rows.bias[row]
    return score
